-- lock_due_timers(after_fire_at, after_job_id, horizon, batch)
-- The claim. One table, ordered by its one index, so LIMIT locks no more rows than it returns;
-- joins come after, in statements of their own, so that an edit that commits between this
-- statement's snapshot and its lock can not pair an old definition with a new timer.
-- The row comparison starts the scan at the low-water mark: dead entries before it cost nothing.
SELECT job_id, scheduled_for, fire_at, revision, runs_made
FROM job_timers
WHERE (fire_at, job_id) > ($1::timestamptz, $2::uuid) AND fire_at <= $3
ORDER BY fire_at, job_id
LIMIT $4
FOR UPDATE SKIP LOCKED;

-- read_due_timers(after_fire_at, after_job_id, horizon, at_most)
-- The same timers, only read: those of a key that has its share are left where they are, and whoever
-- is due behind them is claimed by lock_listed_timers.
SELECT job_id, scheduled_for, fire_at, revision, runs_made
FROM job_timers
WHERE (fire_at, job_id) > ($1::timestamptz, $2::uuid) AND fire_at <= $3
ORDER BY fire_at, job_id
LIMIT $4;

-- load_definitions(job_ids)
-- What the replica has not cached of the jobs whose timers it has just locked.
SELECT id, namespace, revision, definition, created_at
FROM jobs
WHERE id = ANY ($1::uuid[]);

-- open_runs(job_ids)
-- Overlap is decided by the unfinished runs as they are now, under the timer's lock. Those of a
-- backfill or of a replay by filter do not count: these have rules of their own, and never hold
-- back the cadence. Nor do alerts. The ids are taken apart once, and not for each day anew.
SELECT id, job_id, queued AND NOT held AS queued,
    queued AND NOT held AND trigger = 'catch_up' AS behind
FROM runs
WHERE job_id = ANY ($1::uuid[])
    AND status IN ('due', 'running') AND trigger NOT IN ('backfill', 'alert') AND replay_id IS NULL;

-- open_occurrences(ids, scheduled_fors)
-- Which of these very runs are there already and unfinished: of jobs that allow overlap, whose
-- other runs may be many.
SELECT r.id, r.job_id, r.queued AND NOT r.held AS queued,
    r.queued AND NOT r.held AND r.trigger = 'catch_up' AS behind
FROM unnest($1::uuid[], $2::timestamptz[]) AS o (id, scheduled_for)
JOIN runs AS r ON r.scheduled_for = o.scheduled_for AND r.id = o.id
WHERE o.id::text || '' = o.id::text AND o.scheduled_for::text || '' = o.scheduled_for::text -- one_row
    AND r.status || '' IN ('due', 'running');

-- recorded_occurrences(job_ids, firsts, at_most)
-- What the ledger holds of each job's cadence from an instant on, the oldest first: asked only where
-- a claim met a run that is there already, and by an edit of a job that is overdue.
SELECT o.job_id, r.scheduled_for, coalesce(r.scheduled_until, r.scheduled_for) AS until
FROM unnest($1::uuid[], $2::timestamptz[]) AS o (job_id, first)
CROSS JOIN LATERAL (
    SELECT scheduled_for, scheduled_until FROM runs
    WHERE runs.job_id = o.job_id AND scheduled_for >= o.first
        AND trigger IN ('schedule', 'catch_up')
    ORDER BY scheduled_for LIMIT $3
) AS r;

-- write_decisions(job_ids, scheduled_fors, fire_ats, runs_made, run_ids, run_scheduled_fors, run_job_ids, job_names, namespaces, triggers, statuses, reasons, occurrences, untils, priorities, next_attempt_ats, queued, keys, deferrals, replica, now)
-- Timers move and runs appear in one statement, so that a crash leaves both or neither. The key
-- of a run is a function of its occurrence: a second row for it is impossible. Who claims decides
-- anew where one is missing among the new rows, for it may have stood for a whole range.
-- Columns come as texts (store/columns.py), instants in epoch milliseconds.
WITH moved AS (
    UPDATE job_timers AS t
    SET scheduled_for = timestamptz 'epoch' + d.scheduled_ms * interval '1 millisecond',
        fire_at = timestamptz 'epoch' + d.fire_ms * interval '1 millisecond',
        runs_made = d.runs_made
    FROM unnest(
        $1::uuid[], string_to_array($2, ',', '')::bigint[], string_to_array($3, ',', '')::bigint[],
        string_to_array($4, ',')::integer[]
    ) AS d (job_id, scheduled_ms, fire_ms, runs_made)
    WHERE d.job_id::text || '' = d.job_id::text AND d.runs_made + 0 = d.runs_made -- one_row
        AND t.job_id = d.job_id
)
INSERT INTO runs (
    id, scheduled_for, job_id, job_name, namespace, trigger, status, reason, occurrences,
    scheduled_until, priority, next_attempt_at, queued, attempt_count, replica, claimed_at,
    finished_at, concurrency_key, deferral
)
SELECT
    n.id, timestamptz 'epoch' + n.scheduled_ms * interval '1 millisecond', n.job_id, n.job_name,
    n.namespace, n.trigger, n.status, n.reason, n.occurrences,
    timestamptz 'epoch' + n.until_ms * interval '1 millisecond', n.priority,
    timestamptz 'epoch' + n.next_attempt_ms * interval '1 millisecond', n.queued = 1,
    CASE n.status WHEN 'running' THEN 1 ELSE 0 END,
    CASE n.status WHEN 'running' THEN $20::uuid END,
    CASE n.status WHEN 'running' THEN $21::timestamptz END,
    CASE n.status WHEN 'skipped' THEN $21::timestamptz END,
    n.concurrency_key, n.deferral::jsonb
FROM unnest(
    $5::uuid[], string_to_array($6, ',')::bigint[], $7::uuid[],
    string_to_array($8, U&'\001e', ''), string_to_array($9, U&'\001e'),
    string_to_array($10, U&'\001e'), string_to_array($11, U&'\001e'),
    string_to_array($12, U&'\001e', ''), string_to_array($13, ',')::integer[],
    string_to_array($14, ',', '')::bigint[], string_to_array($15, ',')::smallint[],
    string_to_array($16, ',', '')::bigint[], string_to_array($17, ',')::smallint[],
    string_to_array($18, U&'\001e', ''), string_to_array($19, U&'\001e', '')
) AS n (
    id, scheduled_ms, job_id, job_name, namespace, trigger, status, reason, occurrences, until_ms,
    priority, next_attempt_ms, queued, concurrency_key, deferral
)
ON CONFLICT DO NOTHING
RETURNING id;

-- write_plain(job_ids, run_ids, runs_made, job_names, at, ats, following, followings, priority, priorities, namespace, namespaces, replica, now)
-- The same for what nearly every claim is: first attempts of occurrences that are sent at their
-- instants. What they have in common is said once, and a third as much is taken apart: of instants,
-- priorities and namespaces the text holds those that differ from the one beside it.
-- A run that is there already is an error here, and the claim is decided anew by the rules: to look
-- for it before each insert is a tenth of the statement, and nearly never finds one.
WITH moved AS (
    UPDATE job_timers AS t
    SET scheduled_for =
            timestamptz 'epoch' + coalesce(g.next_ms, $7::bigint) * interval '1 millisecond',
        fire_at = timestamptz 'epoch' + coalesce(g.next_ms, $7::bigint) * interval '1 millisecond',
        runs_made = g.runs_made
    FROM unnest(
        $1::uuid[], $2::uuid[], string_to_array($3, ',')::integer[],
        string_to_array($4, U&'\001e', ''), string_to_array($6, ',', '')::bigint[],
        string_to_array($8, ',', '')::bigint[], string_to_array($10, ',', '')::smallint[],
        string_to_array($12, U&'\001e', '')
    ) AS g (job_id, run_id, runs_made, job_name, scheduled_ms, next_ms, priority, namespace)
    WHERE g.runs_made + 0 = g.runs_made AND g.runs_made - 0 = g.runs_made -- one_row
        AND t.job_id = g.job_id
    RETURNING
        t.job_id, g.run_id, g.job_name,
        timestamptz 'epoch'
            + coalesce(g.scheduled_ms, $5::bigint) * interval '1 millisecond' AS scheduled_for,
        g.priority, g.namespace
)
INSERT INTO runs (
    id, scheduled_for, job_id, job_name, namespace, trigger, status, priority, next_attempt_at,
    attempt_count, replica, claimed_at
)
SELECT
    m.run_id, m.scheduled_for, m.job_id, m.job_name, coalesce(m.namespace, $11), 'schedule',
    'running', coalesce(m.priority, $9::smallint), m.scheduled_for, 1, $13::uuid, $14::timestamptz
FROM moved AS m;

-- complete_jobs(job_ids, now)
-- No occurrence is left: the state is part of the definition's revision.
WITH timers AS (
    UPDATE job_timers SET revision = revision + 1
    WHERE job_id IN (SELECT id FROM jobs WHERE id = ANY ($1::uuid[]) AND state = 'active')
)
UPDATE jobs
SET state = 'completed', revision = revision + 1, updated_at = $2
WHERE id = ANY ($1::uuid[]) AND state = 'active'
RETURNING id;

-- ending_pauses(job_ids)
-- Which of these jobs, whose timers name no occurrence, are paused and not completed.
SELECT id FROM jobs WHERE id = ANY ($1::uuid[]) AND state = 'paused';

-- claim_due_runs(horizon, batch, replica, now, rank_min, rank_max)
-- The second source: retries, triggers, backfill, overflow; higher priority first, then the older.
-- Background runs rank below all others, and are asked for by themselves: they have fewer slots.
-- What waits because of its key is not among them: claim_pressed_runs takes it.
-- The levels are found by skipping through the index, so that waiting rows of a high priority do
-- not hide due ones of a lower. MATERIALIZED: an IN (SELECT ... LIMIT) may be run again by a
-- nested loop and then claims more than its limit.
WITH RECURSIVE levels AS (
    (
        SELECT priority FROM runs
        WHERE status = 'due' AND NOT queued AND concurrency_key IS NULL AND priority <= $6
        ORDER BY priority DESC LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT r.priority FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
            AND r.priority < levels.priority
        ORDER BY r.priority DESC LIMIT 1
    )
    FROM levels WHERE levels.priority >= $5
),
due AS MATERIALIZED (
    SELECT d.id, d.scheduled_for
    FROM levels
    CROSS JOIN LATERAL (
        SELECT r.id, r.scheduled_for FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
            AND r.priority = levels.priority AND r.next_attempt_at <= $1
        ORDER BY r.next_attempt_at LIMIT $2
        FOR UPDATE SKIP LOCKED
    ) AS d
    WHERE levels.priority >= $5
    LIMIT $2
)
UPDATE runs AS r
SET status = 'running', attempt_count = r.attempt_count + 1, replica = $3, claimed_at = $4
FROM due
WHERE due.id::text || '' = due.id::text -- one_row, see settle_runs
    AND due.scheduled_for::text || '' = due.scheduled_for::text
    AND r.scheduled_for = due.scheduled_for AND r.id = due.id
RETURNING
    r.id, r.scheduled_for, r.job_id, r.trigger, r.attempt_count, r.lost_count, r.next_attempt_at,
    r.started_at, r.overrides,
    CASE r.deferral ->> 'reason'
        WHEN 'quota' THEN (r.deferral ->> 'until')::timestamptz
    END AS paced;

-- what_waits(horizon, rank)
-- Whether claim_due_runs would find something, at this rank or above and below it: nearly always
-- nothing is due, and this asks once, without a transaction. LIMIT, for an EXISTS is made a join of
-- all that is due.
WITH RECURSIVE levels AS (
    (
        SELECT priority FROM runs
        WHERE status = 'due' AND NOT queued AND concurrency_key IS NULL
        ORDER BY priority DESC LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT r.priority FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
            AND r.priority < levels.priority
        ORDER BY r.priority DESC LIMIT 1
    )
    FROM levels WHERE levels.priority IS NOT NULL
)
SELECT
    coalesce(bool_or(levels.priority >= $2), false) AS on_time,
    coalesce(bool_or(levels.priority < $2), false) AS of_the_past
FROM levels
CROSS JOIN LATERAL (
    SELECT FROM runs AS r
    WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
        AND r.priority = levels.priority AND r.next_attempt_at <= $1
    LIMIT 1
) AS due;

-- next_instants(after, runs_after)
-- When the loop must look again: the earliest timer and the earliest waiting run beyond an instant
-- each, and whether any run waits because of its key.
WITH RECURSIVE levels AS (
    (
        SELECT priority FROM runs
        WHERE status = 'due' AND NOT queued AND concurrency_key IS NULL
        ORDER BY priority DESC LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT r.priority FROM runs AS r
        WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
            AND r.priority < levels.priority
        ORDER BY r.priority DESC LIMIT 1
    )
    FROM levels WHERE levels.priority IS NOT NULL
)
SELECT
    (SELECT fire_at FROM job_timers WHERE fire_at > $1 ORDER BY fire_at LIMIT 1) AS timer,
    (
        SELECT min(d.next_attempt_at)
        FROM levels
        CROSS JOIN LATERAL (
            SELECT r.next_attempt_at FROM runs AS r
            WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
                AND r.priority = levels.priority AND r.next_attempt_at > $2
            ORDER BY r.next_attempt_at LIMIT 1
        ) AS d
    ) AS run,
    EXISTS (
        SELECT FROM runs
        WHERE status = 'due' AND NOT queued AND concurrency_key IS NOT NULL
    ) AS pressed;
