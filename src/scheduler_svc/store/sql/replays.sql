-- Replays by filter: the rows, the steps that make their runs, and the lists. A row is locked before
-- the runs of it are written, everywhere, so that a cancel and a step follow each other.

-- insert_replay(id, namespace, filter, max_per_minute, total, status, after_at, after_id, paced_at, created_at, finished_at)
-- What it matches was counted before; it is matched again, step by step.
INSERT INTO replays (
    id, namespace, filter, max_per_minute, total, status, after_at, after_id, paced_at, created_at,
    finished_at
)
VALUES ($1, $2, $3::json, $4, $5, $6, $7, $8, $9, $10, $11);

-- replay_candidates(namespace, status, after_at, after_id, until, ended_by, job_id, reason, trigger, labels, at_most)
-- The next runs that match, oldest first; planned afresh (plan_afresh), so that a filter which is
-- given may use its index. `busy` where a replay of the run, or of a replay of it, is unfinished or
-- has succeeded: of one run only one replay is under way, and what was mended is left alone.
SELECT
    r.id, r.scheduled_for,
    EXISTS (
        WITH RECURSIVE chain AS (
            SELECT c.id, c.status FROM runs AS c
            WHERE c.scheduled_for = r.scheduled_for AND c.replay_of = r.id
            UNION ALL
            SELECT c.id, c.status FROM chain JOIN runs AS c
                ON c.scheduled_for = r.scheduled_for AND c.replay_of = chain.id
        )
        SELECT 1 FROM chain WHERE chain.status IN ('due', 'running', 'succeeded')
    ) AS busy
FROM runs AS r
LEFT JOIN jobs AS j ON j.id = r.job_id
WHERE r.namespace = $1 AND r.status = $2
    AND r.scheduled_for >= $3 AND (r.scheduled_for, r.id) > ($3, $4) AND r.scheduled_for < $5
    AND r.finished_at <= $6 AND r.occurrences = 1
    AND ($7::uuid IS NULL OR r.job_id = $7)
    AND ($8::text IS NULL OR r.reason = $8)
    AND CASE
        WHEN $9::text IS NULL THEN r.trigger NOT IN ('replay', 'alert') ELSE r.trigger = $9
    END
    AND ($10::jsonb IS NULL OR j.labels @> $10)
    AND (r.trigger = 'alert' OR j.id IS NOT NULL)
ORDER BY r.scheduled_for, r.id
LIMIT $11;

-- count_replay(namespace, status, after_at, after_id, until, ended_by, job_id, reason, trigger, labels, at_most)
-- How many runs a replay would send: those of replay_candidates that are not busy.
SELECT count(*)::integer FROM (
    SELECT 1
    FROM runs AS r
    LEFT JOIN jobs AS j ON j.id = r.job_id
    WHERE r.namespace = $1 AND r.status = $2
        AND r.scheduled_for >= $3 AND (r.scheduled_for, r.id) > ($3, $4) AND r.scheduled_for < $5
        AND r.finished_at <= $6 AND r.occurrences = 1
        AND ($7::uuid IS NULL OR r.job_id = $7)
        AND ($8::text IS NULL OR r.reason = $8)
        AND CASE
            WHEN $9::text IS NULL THEN r.trigger NOT IN ('replay', 'alert') ELSE r.trigger = $9
        END
        AND ($10::jsonb IS NULL OR j.labels @> $10)
        AND (r.trigger = 'alert' OR j.id IS NOT NULL)
        AND NOT EXISTS (
            WITH RECURSIVE chain AS (
                SELECT c.id, c.status FROM runs AS c
                WHERE c.scheduled_for = r.scheduled_for AND c.replay_of = r.id
                UNION ALL
                SELECT c.id, c.status FROM chain JOIN runs AS c
                    ON c.scheduled_for = r.scheduled_for AND c.replay_of = chain.id
            )
            SELECT 1 FROM chain WHERE chain.status IN ('due', 'running', 'succeeded')
        )
    LIMIT $11
) AS matching;

-- lock_next_replay(horizon, seen)
-- The replay whose turn came first and which no other replica works on; none of a held namespace.
SELECT
    id, namespace, filter, max_per_minute, total, created, left_out, status, reason, after_at,
    after_id, paced_at, created_at, finished_at, created AS done
FROM replays
WHERE status = 'running' AND paced_at <= $1 AND id <> ALL ($2::uuid[])
    AND NOT EXISTS (SELECT FROM holds AS h WHERE h.namespace = replays.namespace)
ORDER BY paced_at, id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- open_replay_runs(id)
-- The unfinished runs of one replay, and of all. Steps keep their number small. What may not go for
-- long, for its namespace is held or its quota used up, is in nobody's way but that of its own replay.
SELECT
    count(*) FILTER (WHERE replay_id = $1)::integer AS own,
    count(*) FILTER (
        WHERE replay_id = $1
            OR (held OR (status = 'due' AND deferral ->> 'reason' = 'quota')) IS NOT TRUE
    )::integer AS everyone
FROM runs
WHERE replay_id IS NOT NULL AND status IN ('due', 'running');

-- write_replay_step(id, run_ids, originals, scheduled_fors, due_ats, rank, left_out, after_at, after_id, paced_at)
-- The runs and the cursor in one statement, so that a crash leaves both or neither. They go where
-- their job points now, with what their original had overridden; an alert again as an alert. PostgreSQL
-- reads no definition that has a NUL somewhere: it gets another character for it.
WITH made AS (
    INSERT INTO runs (
        id, scheduled_for, job_id, job_name, namespace, trigger, status, priority,
        next_attempt_at, replay_of, replay_id, overrides
    )
    SELECT
        n.id, r.scheduled_for, r.job_id, coalesce(j.name, r.job_name), r.namespace,
        CASE r.trigger WHEN 'alert' THEN 'alert' ELSE 'replay' END, 'due',
        coalesce(
            (replace(j.definition::text, '\u0000', '\u0001')::json ->> 'priority')::integer, 0
        ) + $6::integer,
        n.due_at, r.id, $1, r.overrides
    FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
        AS n (id, original, scheduled_for, due_at)
    JOIN runs AS r ON r.scheduled_for = n.scheduled_for AND r.id = n.original
    LEFT JOIN jobs AS j ON j.id = r.job_id
    WHERE n.id::text || '' = n.id::text -- one_row, see settle_runs
        AND n.original::text || '' = n.original::text
    RETURNING id
)
UPDATE replays
SET created = created + (SELECT count(*) FROM made)::integer, left_out = left_out + $7,
    after_at = $8, after_id = $9, paced_at = $10
WHERE id = $1;

-- get_replay(namespace, id)
-- What is done of it is what was made less what is unfinished: exact though history is pruned.
SELECT
    p.id, p.namespace, p.filter, p.max_per_minute, p.total, p.created, p.left_out, p.status,
    p.reason, p.after_at, p.after_id, p.paced_at, p.created_at, p.finished_at,
    p.created - (
        SELECT count(*) FROM runs AS r
        WHERE r.replay_id = p.id AND r.status IN ('due', 'running')
    )::integer AS done
FROM replays AS p
WHERE p.id = $2 AND p.namespace = $1;

-- lock_replay(namespace, id)
-- For cancel: no step may be made between the look and the write.
SELECT status FROM replays WHERE id = $2 AND namespace = $1 FOR UPDATE;

-- end_replay(id, status, reason, now)
-- Its last state; the row stays until it is pruned.
UPDATE replays SET status = $2, reason = $3, finished_at = $4
WHERE id = $1 AND status = 'running';

-- cancel_replay_runs(id, reason, now)
-- What waits of a cancelled replay ends; what some replica works on ends as it will.
UPDATE runs
SET status = 'cancelled', reason = $2, finished_at = $3, next_attempt_at = NULL
WHERE replay_id = $1 AND status = 'due'
RETURNING id;

-- list_replays(namespace, before, before_id, at_most, status)
-- Newest first, through replays_list.
SELECT
    p.id, p.namespace, p.filter, p.max_per_minute, p.total, p.created, p.left_out, p.status,
    p.reason, p.after_at, p.after_id, p.paced_at, p.created_at, p.finished_at,
    p.created - (
        SELECT count(*) FROM runs AS r
        WHERE r.replay_id = p.id AND r.status IN ('due', 'running')
    )::integer AS done
FROM replays AS p
WHERE p.namespace = $1 AND (p.created_at, p.id) < ($2, $3)
    AND ($5::text IS NULL OR p.status = $5)
ORDER BY p.created_at DESC, p.id DESC
LIMIT $4;

-- prune_replays(before, batch)
-- Those that ended before the days that are kept, in bounded batches.
WITH old AS MATERIALIZED (
    SELECT id FROM replays WHERE status <> 'running' AND finished_at < $1 LIMIT $2
)
DELETE FROM replays AS p USING old WHERE p.id = old.id;

-- replays_of(id, scheduled_for)
-- What became of the replays of a run, through runs_replay_of in the run's own day.
SELECT
    count(*)::integer AS count,
    count(*) FILTER (WHERE status = 'succeeded')::integer AS succeeded,
    count(*) FILTER (WHERE status = 'failed')::integer AS failed,
    count(*) FILTER (WHERE status IN ('due', 'running'))::integer AS unfinished
FROM runs
WHERE scheduled_for = $2 AND replay_of = $1;
