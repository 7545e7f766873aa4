-- The spine: definitions, timers, runs by day, replicas.
-- Hot and cold apart: jobs is written rarely; job_timers is one narrow row a job, touched by every
-- fire; runs is history, dropped by partition. Lock order everywhere: job_timers, jobs, runs.

CREATE TABLE jobs (
    id          uuid        PRIMARY KEY,
    namespace   text        NOT NULL,
    name        text,
    description text        NOT NULL,
    labels      jsonb       NOT NULL,
    definition  json        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('active', 'paused', 'completed')),
    pause       json,
    revision    integer     NOT NULL CHECK (revision > 0),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CHECK ((state = 'paused') = (pause IS NOT NULL))
);

-- A name is unique in its namespace; serves get_job_by_name and the list by name.
CREATE UNIQUE INDEX jobs_name ON jobs (namespace, name COLLATE "C") WHERE name IS NOT NULL;
-- Serves the list by name where jobs without a name come last, and name_prefix.
CREATE INDEX jobs_list_name ON jobs (namespace, name COLLATE "C", id);
-- Serves the list by creation, newest first and oldest first.
CREATE INDEX jobs_list_created ON jobs (namespace, created_at, id);
-- Serves the filter by state, and the lists of what is paused or completed.
CREATE INDEX jobs_list_state ON jobs (namespace, state, created_at, id);
-- Serves the filter by label.
CREATE INDEX jobs_labels ON jobs USING gin (labels jsonb_path_ops);

-- One row a job. scheduled_for is the next occurrence, fire_at when to send it (nominal plus
-- spread). A row with fire_at but without scheduled_for completes its job at that instant; a row
-- without fire_at belongs to a paused or completed job.
CREATE TABLE job_timers (
    job_id        uuid    PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    scheduled_for timestamptz,
    fire_at       timestamptz,
    revision      integer NOT NULL,
    runs_made     integer NOT NULL DEFAULT 0,
    CHECK (fire_at IS NOT NULL OR scheduled_for IS NULL),
    CHECK (scheduled_for <= fire_at)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- Serves lock_due_timers, next_fire and the list by next_fire_at.
CREATE INDEX job_timers_due ON job_timers (fire_at, job_id) WHERE fire_at IS NOT NULL;

CREATE TABLE runs (
    id               uuid        NOT NULL,
    scheduled_for    timestamptz NOT NULL,
    job_id           uuid        NOT NULL,
    job_name         text,
    namespace        text        NOT NULL,
    trigger          text        NOT NULL
        CHECK (trigger IN ('schedule', 'manual', 'backfill', 'catch_up', 'replay')),
    status           text        NOT NULL
        CHECK (status IN ('due', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')),
    reason           text,
    occurrences      integer     NOT NULL DEFAULT 1 CHECK (occurrences > 0),
    scheduled_until  timestamptz,
    priority         smallint    NOT NULL DEFAULT 0,
    attempt_count    smallint    NOT NULL DEFAULT 0 CHECK (attempt_count >= 0),
    lost_count       smallint    NOT NULL DEFAULT 0,
    queued           boolean     NOT NULL DEFAULT false,
    cancel_requested boolean     NOT NULL DEFAULT false,
    replica          uuid,
    next_attempt_at  timestamptz,
    claimed_at       timestamptz,
    started_at       timestamptz,
    finished_at      timestamptz,
    lateness_ms      bigint,
    duration_ms      bigint,
    replay_of        uuid,
    backfill_id      uuid,
    overrides        json,
    attempts         text[]      NOT NULL DEFAULT '{}',
    PRIMARY KEY (scheduled_for, id),
    CHECK (status <> 'running' OR replica IS NOT NULL),
    CHECK ((status IN ('due', 'running')) = (next_attempt_at IS NOT NULL)),
    CHECK ((status IN ('due', 'running')) = (finished_at IS NULL)),
    CHECK (status NOT IN ('failed', 'skipped', 'cancelled') OR reason IS NOT NULL)
) PARTITION BY RANGE (scheduled_for);

-- Serves the history of a job, and its last run.
CREATE INDEX runs_job ON runs (job_id, scheduled_for DESC, id DESC);
-- Serves open_runs: overlap, edits, deletes.
CREATE INDEX runs_open ON runs (job_id) WHERE status IN ('due', 'running');
-- Serves claim_due_runs: higher priority first, then the older.
CREATE INDEX runs_due ON runs (priority DESC, next_attempt_at)
    WHERE status = 'due' AND NOT queued;
-- Serves rescue_runs, release_runs and cancel_wanted.
CREATE INDEX runs_running ON runs (replica) WHERE status = 'running';
-- Serves GET /runs by status where history is long.
CREATE INDEX runs_failed ON runs (namespace, scheduled_for DESC, id DESC) WHERE status = 'failed';

-- Takes the days that have no partition: catch-up and replays of days no longer kept.
CREATE TABLE runs_default PARTITION OF runs DEFAULT;

CREATE TABLE replicas (
    id              uuid        PRIMARY KEY,
    host            text        NOT NULL,
    pid             integer     NOT NULL,
    version         text        NOT NULL,
    tzdata          text        NOT NULL,
    role            text        NOT NULL CHECK (role IN ('all', 'api', 'engine')),
    started_at      timestamptz NOT NULL,
    heartbeat_at    timestamptz NOT NULL,
    lease_until     timestamptz NOT NULL,
    running         integer     NOT NULL DEFAULT 0,
    slots           integer     NOT NULL,
    clock_offset_ms double precision NOT NULL DEFAULT 0
);
