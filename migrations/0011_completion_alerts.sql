-- Runs that wait for their target's own report, alerts as runs, and replays by filter.

-- A run that awaits its target's report is `running` without a replica: its slot is free, no lease
-- covers it, and completion_until ends it. What the target reported is kept beside it; it may come
-- while the attempt is still in flight. replay_id names the replay by filter that made a run.
ALTER TABLE runs
    ADD COLUMN completion_until timestamptz,
    ADD COLUMN completion_ms bigint,
    ADD COLUMN completion_status text,
    ADD COLUMN completion_detail text,
    ADD COLUMN replay_id uuid;

-- NOT VALID: what the old rules let pass the new ones do too, so no row of history is read.
ALTER TABLE runs DROP CONSTRAINT runs_check;
ALTER TABLE runs DROP CONSTRAINT runs_trigger_check;
ALTER TABLE runs
    ADD CONSTRAINT runs_held_or_awaiting CHECK (
        status <> 'running' OR replica IS NOT NULL OR completion_until IS NOT NULL
    ) NOT VALID,
    ADD CONSTRAINT runs_trigger_check CHECK (
        trigger IN ('schedule', 'manual', 'backfill', 'catch_up', 'replay', 'alert')
    ) NOT VALID,
    ADD CONSTRAINT runs_completion_status CHECK (
        completion_status IN ('succeeded', 'failed')
    ) NOT VALID;

-- Serves overdue_completions: runs whose target has not reported in time.
CREATE INDEX runs_awaiting ON runs (completion_until)
    WHERE status = 'running' AND completion_until IS NOT NULL;
-- Serves replays_of, list_runs by replay_of, and the look whether a run was replayed already.
CREATE INDEX runs_replay_of ON runs (replay_of) WHERE replay_of IS NOT NULL;
-- Serves open_replay_runs and cancel_replay_runs: what is unfinished, and no other run.
CREATE INDEX runs_replay ON runs (replay_id)
    WHERE replay_id IS NOT NULL AND status IN ('due', 'running');

-- One row a replay by filter: which ended runs are sent again, how fast, and how far it is. Only
-- runs that had ended when it was asked for are taken, oldest first; after_at and after_id are the
-- cursor: all that match up to there have been decided.
CREATE TABLE replays (
    id             uuid        PRIMARY KEY,
    namespace      text        NOT NULL,
    filter         json        NOT NULL,
    max_per_minute integer     NOT NULL CHECK (max_per_minute > 0),
    total          integer     NOT NULL CHECK (total >= 0),
    created        integer     NOT NULL DEFAULT 0 CHECK (created >= 0),
    left_out       integer     NOT NULL DEFAULT 0 CHECK (left_out >= 0),
    status         text        NOT NULL CHECK (status IN ('running', 'completed', 'cancelled')),
    reason         text,
    after_at       timestamptz NOT NULL,
    after_id       uuid        NOT NULL,
    paced_at       timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    CHECK ((status = 'running') = (finished_at IS NULL)),
    CHECK ((status = 'cancelled') = (reason IS NOT NULL))
) WITH (fillfactor = 70);

-- Serves the list, newest first.
CREATE INDEX replays_list ON replays (namespace, created_at DESC, id DESC);
-- Serves lock_next_replay: whose turn came first.
CREATE INDEX replays_running ON replays (paced_at, id) WHERE status = 'running';
-- Serves prune_replays.
CREATE INDEX replays_ended ON replays (finished_at) WHERE status <> 'running';

-- What the alerts and the auto-pause of a job remember; jobs with neither have no row. `outcomes`
-- is one letter a run, `s` or `f`, newest last; `incidents` are the conditions that were told and
-- are not over. watch_at is when to look whether something failed to start, quiet_from the due
-- instant since which something should have.
CREATE TABLE job_incidents (
    job_id          uuid        PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    failures_in_row integer     NOT NULL DEFAULT 0,
    outcomes        text        NOT NULL DEFAULT '',
    durations       bigint[]    NOT NULL DEFAULT '{}',
    incidents       text[]      NOT NULL DEFAULT '{}',
    last_started_at timestamptz,
    quiet_from      timestamptz,
    watch_at        timestamptz
) WITH (fillfactor = 70);

-- Serves lock_watched: jobs at which to look.
CREATE INDEX job_incidents_watch ON job_incidents (watch_at) WHERE watch_at IS NOT NULL;
