-- Backfills: a range of past occurrences that is sent at a rate, as a resource of its own.

-- One row a backfill. Its schedule is the job's as it was when it was asked for, so that what was
-- counted is what is made, whatever becomes of the job's. next_from is the cursor: all occurrences
-- before it are runs already. paced_at is the earliest instant for the next run.
CREATE TABLE backfills (
    id             uuid        PRIMARY KEY,
    job_id         uuid        NOT NULL,
    namespace      text        NOT NULL,
    range_from     timestamptz NOT NULL,
    range_to       timestamptz NOT NULL,
    schedule       json        NOT NULL,
    anchored_at    timestamptz NOT NULL,
    overlap        text        NOT NULL CHECK (overlap IN ('skip', 'queue', 'allow')),
    max_per_minute integer     NOT NULL CHECK (max_per_minute > 0),
    total          integer     NOT NULL CHECK (total >= 0),
    created        integer     NOT NULL DEFAULT 0 CHECK (created >= 0),
    status         text        NOT NULL CHECK (status IN ('running', 'completed', 'cancelled')),
    reason         text,
    next_from      timestamptz NOT NULL,
    paced_at       timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    CHECK (range_from < range_to),
    CHECK ((status = 'running') = (finished_at IS NULL)),
    CHECK ((status = 'cancelled') = (reason IS NOT NULL))
) WITH (fillfactor = 70);

-- Serves the list, newest first.
CREATE INDEX backfills_list ON backfills (namespace, created_at DESC, id DESC);
-- Serves the list of one job, and the end of a job's backfills when it is deleted.
CREATE INDEX backfills_job ON backfills (job_id, created_at DESC, id DESC);
-- Serves lock_backfill: whose turn came first.
CREATE INDEX backfills_running ON backfills (paced_at, id) WHERE status = 'running';
-- Serves prune_backfills.
CREATE INDEX backfills_ended ON backfills (finished_at) WHERE status <> 'running';

-- Serves open_backfill_runs and cancel_backfill_runs: what is unfinished, and no other run.
CREATE INDEX runs_backfill ON runs (backfill_id)
    WHERE backfill_id IS NOT NULL AND status IN ('due', 'running');
