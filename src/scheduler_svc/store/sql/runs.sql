-- insert_run(id, scheduled_for, job_id, job_name, namespace, trigger, priority, next_attempt_at, queued, replay_of, backfill_id, overrides)
-- A run beside the cadence: a trigger, a replay, a backfill.
INSERT INTO runs (
    id, scheduled_for, job_id, job_name, namespace, trigger, status, priority, next_attempt_at,
    queued, replay_of, backfill_id, overrides
)
VALUES ($1, $2, $3, $4, $5, $6, 'due', $7, $8, $9, $10, $11, $12::json);

-- get_run(namespace, id, scheduled_for)
-- The id names its partition.
SELECT
    id, job_id, job_name, namespace, trigger, scheduled_for, occurrences, scheduled_until, status,
    reason, attempt_count, replay_of, backfill_id, claimed_at, started_at, finished_at,
    lateness_ms, duration_ms, next_attempt_at, replica, attempts, replay_id, completion_until,
    completion_status, completion_detail, deferral, overrides
FROM runs
WHERE scheduled_for = $3 AND id = $2 AND namespace = $1;

-- lock_run(namespace, id, scheduled_for)
-- For cancel: the state may not change between the look and the write.
SELECT
    id, job_id, job_name, namespace, trigger, scheduled_for, occurrences, scheduled_until, status,
    reason, attempt_count, replay_of, backfill_id, claimed_at, started_at, finished_at,
    lateness_ms, duration_ms, next_attempt_at, replica, attempts, replay_id, completion_until,
    completion_status, completion_detail, deferral, overrides
FROM runs
WHERE scheduled_for = $3 AND id = $2 AND namespace = $1
FOR UPDATE;

-- cancel_waiting_run(id, scheduled_for, now)
-- A run that waits ends at once: for its instant, or for the report of its target.
UPDATE runs
SET status = 'cancelled', reason = 'cancelled', finished_at = $3, next_attempt_at = NULL
WHERE scheduled_for = $2 AND id = $1
    AND (status = 'due' OR (status = 'running' AND completion_until IS NOT NULL))
RETURNING id;

-- ask_cancel(ids, scheduled_fors)
-- Runs that some replica works on: asked here, told by notice, ended by their holder.
UPDATE runs AS r
SET cancel_requested = true
FROM unnest($1::uuid[], $2::timestamptz[]) AS c (id, scheduled_for)
WHERE c.id::text || '' = c.id::text AND c.scheduled_for::text || '' = c.scheduled_for::text -- one_row
    AND r.scheduled_for = c.scheduled_for AND r.id = c.id AND r.status || '' = 'running'
RETURNING r.id;

-- cancel_runs(ids, scheduled_fors, reason, now)
-- Waiting runs that make way for a newer one (overlap: cancel), those that await a report among
-- them.
UPDATE runs AS r
SET status = 'cancelled', reason = $3, finished_at = $4, next_attempt_at = NULL
FROM unnest($1::uuid[], $2::timestamptz[]) AS c (id, scheduled_for)
WHERE c.id::text || '' = c.id::text AND c.scheduled_for::text || '' = c.scheduled_for::text -- one_row
    AND r.scheduled_for = c.scheduled_for AND r.id = c.id
    AND (
        r.status || '' = 'due' OR (r.status || '' = 'running' AND r.completion_until IS NOT NULL)
    )
RETURNING r.id;

-- notify(payload)
-- Told to every replica that listens, at commit.
SELECT pg_notify('scheduler', $1);
