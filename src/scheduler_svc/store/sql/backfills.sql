-- Backfills: the rows, the steps that make their runs, and the lists. A row is locked before the
-- runs of it are written, everywhere, so that a cancel and a step follow each other.

-- insert_backfill(id, job_id, namespace, range_from, range_to, schedule, anchored_at, overlap, max_per_minute, total, status, next_from, paced_at, created_at, finished_at)
-- Under the lock of the job's timer, so that the job is not deleted meanwhile.
INSERT INTO backfills (
    id, job_id, namespace, range_from, range_to, schedule, anchored_at, overlap, max_per_minute,
    total, status, next_from, paced_at, created_at, finished_at
)
VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- get_backfill(namespace, id)
-- What is done of it is what was made less what is unfinished: exact though history is pruned.
SELECT
    b.id, b.job_id, b.namespace, b.range_from, b.range_to, b.schedule, b.anchored_at, b.overlap,
    b.max_per_minute, b.total, b.created, b.status, b.reason, b.next_from, b.paced_at,
    b.created_at, b.finished_at,
    b.created - (
        SELECT count(*) FROM runs AS r
        WHERE r.backfill_id = b.id AND r.status IN ('due', 'running')
    )::integer AS done
FROM backfills AS b
WHERE b.id = $2 AND b.namespace = $1;

-- lock_backfill(namespace, id)
-- For cancel: no step may be made between the look and the write.
SELECT status FROM backfills WHERE id = $2 AND namespace = $1 FOR UPDATE;

-- lock_next_backfill(horizon, seen)
-- The backfill whose turn came first and which no other replica works on; none of a held namespace. What is unfinished of it
-- is counted by a statement of its own, which sees all that was committed before this lock.
SELECT
    id, job_id, namespace, range_from, range_to, schedule, anchored_at, overlap, max_per_minute,
    total, created, status, reason, next_from, paced_at, created_at, finished_at, created AS done
FROM backfills
WHERE status = 'running' AND paced_at <= $1 AND id <> ALL ($2::uuid[])
    AND NOT EXISTS (SELECT FROM holds AS h WHERE h.namespace = backfills.namespace)
ORDER BY paced_at, id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- open_backfill_runs(id)
-- The unfinished runs of one backfill, and of all. Steps keep their number small. What may not go for
-- long, for its namespace is held or its quota used up, is in nobody's way but that of its own backfill.
SELECT
    count(*) FILTER (WHERE backfill_id = $1)::integer AS own,
    count(*) FILTER (
        WHERE backfill_id = $1
            OR (held OR (status = 'due' AND deferral ->> 'reason' = 'quota')) IS NOT TRUE
    )::integer AS everyone
FROM runs
WHERE backfill_id IS NOT NULL AND status IN ('due', 'running');

-- write_backfill_step(id, job_id, job_name, namespace, priority, run_ids, scheduled_fors, due_ats, statuses, next_from, paced_at, now)
-- The runs and the cursor in one statement, so that a crash leaves both or neither.
WITH made AS (
    INSERT INTO runs (
        id, scheduled_for, job_id, job_name, namespace, trigger, status, reason, priority,
        next_attempt_at, finished_at, backfill_id
    )
    SELECT
        n.id, n.scheduled_for, $2, $3, $4, 'backfill', n.status,
        CASE n.status WHEN 'skipped' THEN 'overlap' END, $5,
        CASE n.status WHEN 'due' THEN n.due_at END,
        CASE n.status WHEN 'skipped' THEN $12::timestamptz END,
        $1
    FROM unnest($6::uuid[], $7::timestamptz[], $8::timestamptz[], $9::text[])
        AS n (id, scheduled_for, due_at, status)
    RETURNING id
)
UPDATE backfills
SET created = created + (SELECT count(*) FROM made)::integer, next_from = $10, paced_at = $11
WHERE id = $1;

-- end_backfill(id, status, reason, now)
-- Its last state; the row stays until it is pruned.
UPDATE backfills
SET status = $2, reason = $3, finished_at = $4
WHERE id = $1 AND status = 'running';

-- cancel_backfill_runs(ids, reason, now)
-- What waits of cancelled backfills ends; what some replica works on ends as it will.
UPDATE runs
SET status = 'cancelled', reason = $2, finished_at = $3, next_attempt_at = NULL
WHERE backfill_id = ANY ($1::uuid[]) AND status = 'due'
RETURNING id;

-- cancel_backfills_of(job_ids, reason, now)
-- The backfills of jobs that are deleted, or whose target is gone.
UPDATE backfills
SET status = 'cancelled', reason = $2, finished_at = $3
WHERE job_id = ANY ($1::uuid[]) AND status = 'running'
RETURNING id;

-- list_backfills(namespace, before, before_id, at_most, status)
-- Newest first, through backfills_list.
SELECT
    b.id, b.job_id, b.namespace, b.range_from, b.range_to, b.schedule, b.anchored_at, b.overlap,
    b.max_per_minute, b.total, b.created, b.status, b.reason, b.next_from, b.paced_at,
    b.created_at, b.finished_at,
    b.created - (
        SELECT count(*) FROM runs AS r
        WHERE r.backfill_id = b.id AND r.status IN ('due', 'running')
    )::integer AS done
FROM backfills AS b
WHERE b.namespace = $1 AND (b.created_at, b.id) < ($2, $3)
    AND ($5::text IS NULL OR b.status = $5)
ORDER BY b.created_at DESC, b.id DESC
LIMIT $4;

-- list_job_backfills(namespace, before, before_id, at_most, status, job_id)
-- Those of one job, deleted or not: through backfills_job.
SELECT
    b.id, b.job_id, b.namespace, b.range_from, b.range_to, b.schedule, b.anchored_at, b.overlap,
    b.max_per_minute, b.total, b.created, b.status, b.reason, b.next_from, b.paced_at,
    b.created_at, b.finished_at,
    b.created - (
        SELECT count(*) FROM runs AS r
        WHERE r.backfill_id = b.id AND r.status IN ('due', 'running')
    )::integer AS done
FROM backfills AS b
WHERE b.namespace = $1 AND b.job_id = $6 AND (b.created_at, b.id) < ($2, $3)
    AND ($5::text IS NULL OR b.status = $5)
ORDER BY b.created_at DESC, b.id DESC
LIMIT $4;

-- prune_backfills(before, batch)
-- Those that ended before the days that are kept, in bounded batches.
WITH old AS MATERIALIZED (
    SELECT id FROM backfills WHERE status <> 'running' AND finished_at < $1 LIMIT $2
)
DELETE FROM backfills AS b USING old WHERE b.id = old.id;
