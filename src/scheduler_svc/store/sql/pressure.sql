-- What waits because of its key, what a key may have, and its breaker. Rows of concurrency_keys are
-- locked after backfills and before runs; the engine skips one that is locked, so that a replica
-- frozen in between holds nobody up.

-- pressed_keys(after_namespace, after_key, at_most)
-- The third source, first step: keys with waiting runs, by skipping through runs_pressed, and when
-- the first of each is due. The levels of priority are skipped through as in claim_due_runs.
WITH RECURSIVE keys AS (
    (
        SELECT namespace, concurrency_key FROM runs
        WHERE status = 'due' AND NOT queued AND concurrency_key IS NOT NULL
            AND (namespace, concurrency_key) > ($1, $2)
        ORDER BY namespace, concurrency_key LIMIT 1
    )
    UNION ALL
    SELECT n.namespace, n.concurrency_key
    FROM keys
    CROSS JOIN LATERAL (
        SELECT r.namespace, r.concurrency_key FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NOT NULL
            AND (r.namespace, r.concurrency_key) > (keys.namespace, keys.concurrency_key)
        ORDER BY r.namespace, r.concurrency_key LIMIT 1
    ) AS n
),
found AS MATERIALIZED (SELECT namespace, concurrency_key FROM keys LIMIT $3)
SELECT found.namespace, found.concurrency_key, first.at, first.past
FROM found
CROSS JOIN LATERAL (
    WITH RECURSIVE levels AS (
        (
            SELECT r.priority FROM runs AS r
            WHERE r.status = 'due' AND NOT r.queued AND r.namespace = found.namespace
                AND r.concurrency_key = found.concurrency_key
            ORDER BY r.priority DESC LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT r.priority FROM runs AS r
            WHERE r.status = 'due' AND NOT r.queued AND r.namespace = found.namespace
                AND r.concurrency_key = found.concurrency_key AND r.priority < levels.priority
            ORDER BY r.priority DESC LIMIT 1
        )
        FROM levels WHERE levels.priority IS NOT NULL
    )
    SELECT min(d.next_attempt_at) AS at, coalesce(bool_or(levels.priority < -100), false) AS past
    FROM levels
    CROSS JOIN LATERAL (
        SELECT r.next_attempt_at FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.namespace = found.namespace
            AND r.concurrency_key = found.concurrency_key AND r.priority = levels.priority
        ORDER BY r.next_attempt_at LIMIT 1
    ) AS d
) AS first
WHERE first.at IS NOT NULL;

-- claim_pressed_runs(namespaces, keys, counts, horizons, rank_min, rank_max, replica, now)
-- The third source, last step: of each key what it was granted, higher priority first, then the
-- older. A run that went on time, or as good as, was not deferred, though it stood in line: its note
-- goes.
WITH due AS MATERIALIZED (
    SELECT d.id, d.scheduled_for
    FROM unnest($1::text[], $2::text[], $3::integer[], $4::timestamptz[])
        AS k (namespace, key, count, horizon)
    CROSS JOIN LATERAL (
        WITH RECURSIVE levels AS (
            (
                SELECT r.priority FROM runs AS r
                WHERE r.status = 'due' AND NOT r.queued AND r.namespace = k.namespace
                    AND r.concurrency_key = k.key AND r.priority <= $6
                ORDER BY r.priority DESC LIMIT 1
            )
            UNION ALL
            SELECT (
                SELECT r.priority FROM runs AS r
                WHERE r.status = 'due' AND NOT r.queued AND r.namespace = k.namespace
                    AND r.concurrency_key = k.key AND r.priority < levels.priority
                ORDER BY r.priority DESC LIMIT 1
            )
            FROM levels WHERE levels.priority >= $5
        )
        SELECT ready.id, ready.scheduled_for
        FROM levels
        CROSS JOIN LATERAL (
            SELECT r.id, r.scheduled_for FROM runs AS r
            WHERE r.status = 'due' AND NOT r.queued AND r.namespace = k.namespace
                AND r.concurrency_key = k.key AND r.priority = levels.priority
                AND r.next_attempt_at <= k.horizon
            ORDER BY r.next_attempt_at LIMIT k.count
            FOR UPDATE SKIP LOCKED
        ) AS ready
        WHERE levels.priority >= $5
        LIMIT k.count
    ) AS d
)
UPDATE runs AS r
SET status = 'running', attempt_count = r.attempt_count + 1, replica = $7, claimed_at = $8,
    deferral = CASE
        WHEN r.next_attempt_at < $8::timestamptz - interval '100 ms'
            OR (
                (r.deferral ->> 'count')::integer > 0 AND r.deferral ->> 'until' IS NULL
                AND (r.deferral ->> 'since')::timestamptz < $8::timestamptz
            )
            THEN coalesce(r.deferral, '{}') || jsonb_build_object(
                'count', greatest(1, (r.deferral ->> 'count')::integer),
                'until', to_char(
                    $8::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
                )
            )
        -- it waited before another attempt, and not before this one
        WHEN r.deferral ->> 'until' IS NOT NULL THEN r.deferral
    END
FROM due
WHERE due.id::text || '' = due.id::text -- one_row, see settle_runs
    AND due.scheduled_for::text || '' = due.scheduled_for::text
    AND r.scheduled_for = due.scheduled_for AND r.id = due.id
RETURNING
    r.id, r.scheduled_for, r.job_id, r.trigger, r.attempt_count, r.lost_count, r.next_attempt_at,
    r.started_at, r.overrides, r.namespace, r.concurrency_key, r.deferral ->> 'reason' AS reason;

-- defer_runs(ids, scheduled_fors, attempts, keys, reasons, counted, replica, now)
-- Claimed, and not to be sent now because of the key: back to waiting, under the key, the attempt
-- uncounted. One that someone asked to cancel ends here.
UPDATE runs AS r
SET status = CASE WHEN r.cancel_requested THEN 'cancelled' ELSE 'due' END,
    reason = CASE WHEN r.cancel_requested THEN 'cancelled' END,
    finished_at = CASE
        WHEN r.cancel_requested THEN date_trunc('milliseconds', clock_timestamp())
    END,
    next_attempt_at = CASE WHEN NOT r.cancel_requested THEN r.next_attempt_at END,
    attempt_count = r.attempt_count - 1,
    replica = NULL,
    concurrency_key = h.key,
    deferral = jsonb_build_object(
        'reason', h.reason,
        'key', h.key,
        'count', coalesce((r.deferral ->> 'count')::integer, 0) + h.counted,
        'since', coalesce(r.deferral ->> 'since', to_char(
            $8::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        ))
    )
FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[], $5::text[], $6::integer[]
) AS h (id, scheduled_for, attempt, key, reason, counted)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
    AND r.status || '' = 'running' AND r.replica::text = $7::uuid::text
RETURNING r.id;

-- note_rates(ids, scheduled_fors, attempts, untils)
-- Claimed, and sent later than they were due because of the rate: the ledger says until when.
UPDATE runs AS r
SET deferral = coalesce(r.deferral, '{}') || jsonb_build_object(
        'reason', 'rate',
        'key', r.concurrency_key,
        'count', greatest(1, (r.deferral ->> 'count')::integer),
        'since', coalesce(r.deferral ->> 'since', to_char(
            r.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        )),
        'until', to_char(h.until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    )
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::timestamptz[])
    AS h (id, scheduled_for, attempt, until)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
RETURNING r.id;

-- end_deferred(ids, scheduled_fors, attempts, reasons, replica, now)
-- Claimed again, but its time is over: it ends without the attempt that was not made.
UPDATE runs AS r
SET status = 'failed', reason = h.reason, finished_at = $6, next_attempt_at = NULL,
    attempt_count = r.attempt_count - 1
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[])
    AS h (id, scheduled_for, attempt, reason)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
    AND r.status || '' = 'running' AND r.replica::text = $5::uuid::text
RETURNING r.id;

-- stamp_runs(ids, scheduled_fors, attempts, keys, replica)
-- Calls under way when their key got a limit: from now on they count against it.
UPDATE runs AS r
SET concurrency_key = h.key
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[])
    AS h (id, scheduled_for, attempt, key)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
    AND r.status || '' = 'running' AND r.replica::text = $5::uuid::text
RETURNING r.id;

-- note_breaker(namespace, key, at_most)
-- Runs that waited already when the breaker opened wait for it from now on, and say so.
WITH waiting AS MATERIALIZED (
    SELECT r.id, r.scheduled_for FROM runs AS r
    WHERE r.status = 'due' AND NOT r.queued AND r.namespace = $1 AND r.concurrency_key = $2
        AND r.deferral ->> 'reason' IS DISTINCT FROM 'breaker'
        AND r.deferral ->> 'until' IS NULL -- else it was let go, and waits for its retry
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE runs AS r
SET deferral = coalesce(r.deferral, '{}') || jsonb_build_object(
        'reason', 'breaker',
        'key', $2::text,
        'count', greatest(1, (r.deferral ->> 'count')::integer),
        'since', coalesce(r.deferral ->> 'since', to_char(
            r.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        ))
    )
FROM waiting
WHERE waiting.id::text || '' = waiting.id::text -- one_row
    AND waiting.scheduled_for::text || '' = waiting.scheduled_for::text
    AND r.scheduled_for = waiting.scheduled_for AND r.id = waiting.id
RETURNING r.id;

-- unkey_runs(job_id)
-- Its target was edited: a run that waits under the old key is to be judged by the new one. Alerts
-- of the job go elsewhere, and wait where they did.
UPDATE runs
SET concurrency_key = NULL
WHERE job_id = $1 AND status = 'due' AND concurrency_key IS NOT NULL AND trigger <> 'alert';

-- read_keys(namespaces, keys)
-- Which of these keys have a row, and what it says.
SELECT
    c.namespace, c.key, c.configured, c.max_parallel, c.max_per_second, c.rate_free_at, c.breaker,
    c.failures, c.opens, c.opened_at, c.retry_at
FROM unnest($1::text[], $2::text[]) AS k (namespace, key)
JOIN concurrency_keys AS c ON c.namespace = k.namespace AND c.key = k.key
WHERE k.key || '' = k.key; -- one_row

-- lock_keys(namespaces, keys)
-- The same rows under lock; what another replica holds is left out.
SELECT
    c.namespace, c.key, c.configured, c.max_parallel, c.max_per_second, c.rate_free_at, c.breaker,
    c.failures, c.opens, c.opened_at, c.retry_at
FROM unnest($1::text[], $2::text[]) AS k (namespace, key)
JOIN concurrency_keys AS c ON c.namespace = k.namespace AND c.key = k.key
WHERE k.key || '' = k.key -- one_row
FOR UPDATE OF c SKIP LOCKED;

-- running_of_keys(namespaces, keys)
-- After lock_keys, in a statement of its own: what others committed under the lock is then seen.
-- Counted and not remembered: a counter drifts when replicas die. A run that no replica holds has no
-- call open.
SELECT k.namespace, k.key, (
    SELECT count(*) FROM runs AS r
    WHERE r.status = 'running' AND r.namespace = k.namespace AND r.concurrency_key = k.key
        AND r.replica IS NOT NULL
) AS running
FROM unnest($1::text[], $2::text[]) AS k (namespace, key);

-- make_keys(namespaces, keys)
-- Rows to lock, where limits hold by default.
INSERT INTO concurrency_keys (namespace, key)
SELECT namespace, key FROM unnest($1::text[], $2::text[]) AS k (namespace, key)
ON CONFLICT DO NOTHING;

-- pressing_keys(at_most)
-- What each replica knows by heart: keys with limits of their own, or whose breaker is not closed.
SELECT
    namespace, key, configured, max_parallel, max_per_second, rate_free_at, breaker, failures,
    opens, opened_at, retry_at
FROM concurrency_keys
WHERE configured OR breaker <> 'closed'
ORDER BY configured DESC, namespace, key
LIMIT $1;

-- write_rates(namespaces, keys, rate_free_ats)
-- The earliest instant of the next call, under the lock of the row.
UPDATE concurrency_keys AS c
SET rate_free_at = k.rate_free_at
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (namespace, key, rate_free_at)
WHERE k.key || '' = k.key -- one_row
    AND c.namespace = k.namespace AND c.key = k.key;

-- open_breaker(namespace, key, failures, now, retry_at)
-- The first replica to see enough failures opens it; for the others it is open already.
INSERT INTO concurrency_keys AS c (namespace, key, breaker, failures, opens, opened_at, retry_at)
VALUES ($1, $2, 'open', $3, 1, $4, $5)
ON CONFLICT (namespace, key) DO UPDATE
SET breaker = 'open', failures = $3, opens = 1, opened_at = $4, retry_at = $5
WHERE c.breaker = 'closed'
RETURNING c.key;

-- start_probe(namespace, key, run_id, lost_at)
-- One call is let through, and no other before it has ended or counts as lost.
UPDATE concurrency_keys
SET breaker = 'probing', probe = $3, retry_at = $4
WHERE namespace = $1 AND key = $2 AND breaker <> 'closed'
RETURNING key;

-- probe_failed(namespace, key, run_id, retry_at, counted)
-- The target is still away: longer until the next. Or nothing was learned, and the next may go.
UPDATE concurrency_keys
SET breaker = 'open', probe = NULL, retry_at = $4, opens = opens + $5, failures = failures + $5
WHERE namespace = $1 AND key = $2 AND breaker = 'probing' AND probe = $3
RETURNING key;

-- close_breaker(namespace, key, run_id)
-- The probe came through.
UPDATE concurrency_keys
SET breaker = 'closed', failures = 0, opens = 0, opened_at = NULL, retry_at = NULL, probe = NULL
WHERE namespace = $1 AND key = $2 AND breaker = 'probing' AND probe = $3
RETURNING key;

-- prune_keys(before)
-- Rows that say nothing any more: no limits were asked for, the breaker is closed, and a rate that
-- holds by default has long been free. One that a replica is at waits for the next round.
WITH quiet AS MATERIALIZED (
    SELECT namespace, key FROM concurrency_keys
    WHERE NOT configured AND breaker = 'closed' AND (rate_free_at IS NULL OR rate_free_at < $1)
    LIMIT 500
    FOR UPDATE SKIP LOCKED
)
DELETE FROM concurrency_keys AS c
USING quiet
WHERE quiet.key || '' = quiet.key -- one_row
    AND c.namespace = quiet.namespace AND c.key = quiet.key;

-- put_key(namespace, key, max_parallel, max_per_second)
-- Limits of a key, made or replaced; the breaker and the rate's place stay.
INSERT INTO concurrency_keys AS c (namespace, key, configured, max_parallel, max_per_second)
VALUES ($1, $2, true, $3, $4)
ON CONFLICT (namespace, key) DO UPDATE
SET configured = true, max_parallel = $3, max_per_second = $4;

-- count_keys()
-- How many keys have limits: each replica knows them all by heart.
SELECT count(*) FROM concurrency_keys WHERE configured;

-- delete_key(namespace, key)
-- The limits go; a breaker that is open stays open, and a rate by default keeps its place.
UPDATE concurrency_keys
SET configured = false, max_parallel = NULL, max_per_second = NULL
WHERE namespace = $1 AND key = $2 AND configured
RETURNING key;

-- key_counts(namespace, keys)
-- What runs and what waits under each of these keys; a run that awaits its report has no call open.
SELECT k.key,
    (
        SELECT count(*) FROM runs AS r
        WHERE r.status = 'running' AND r.namespace = $1 AND r.concurrency_key = k.key
            AND r.replica IS NOT NULL
    ) AS running,
    (
        SELECT count(*) FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.namespace = $1 AND r.concurrency_key = k.key
    ) AS waiting
FROM unnest($2::text[]) AS k (key);

-- list_keys(namespace, after, at_most)
-- A page of keys: those with a row, and those that only have runs waiting.
WITH RECURSIVE pressed AS (
    (
        SELECT concurrency_key AS key FROM runs
        WHERE status = 'due' AND NOT queued AND namespace = $1 AND concurrency_key > $2
        ORDER BY namespace, concurrency_key LIMIT 1
    )
    UNION ALL
    SELECT n.key
    FROM pressed
    CROSS JOIN LATERAL (
        SELECT r.concurrency_key AS key FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.namespace = $1
            AND r.concurrency_key > pressed.key
        ORDER BY r.namespace, r.concurrency_key LIMIT 1
    ) AS n
),
named AS (
    (SELECT key FROM pressed LIMIT $3)
    UNION
    (
        SELECT key FROM concurrency_keys
        WHERE namespace = $1 AND key > $2 AND (configured OR breaker <> 'closed')
        ORDER BY key LIMIT $3
    )
)
SELECT
    $1 AS namespace, n.key, coalesce(c.configured, false) AS configured, c.max_parallel,
    c.max_per_second, c.rate_free_at, coalesce(c.breaker, 'closed') AS breaker,
    coalesce(c.failures, 0) AS failures, coalesce(c.opens, 0) AS opens, c.opened_at, c.retry_at
FROM named AS n
LEFT JOIN concurrency_keys AS c ON c.namespace = $1 AND c.key = n.key
ORDER BY n.key
LIMIT $3;
