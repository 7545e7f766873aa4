-- settle_runs(ids, scheduled_fors, attempts, statuses, reasons, records, started_ats, finished_ats, next_attempt_ats, lateness, durations)
-- Many outcomes in one statement, each fenced by (id, attempt, running): a row that another replica
-- has taken over meanwhile does not match, and is missing from the answer. Who is asked to end a
-- run and has an attempt that may be tried again ends it, though the notice came too late.
-- `one_row`, here and in other statements: two comparisons that always hold and that the planner
-- takes for rare. It then expects one row of the batch and looks each up by key. Without them it
-- starts, on a new day's partition that has no statistics, from the table instead, and compares
-- each of its rows with each of the batch: 500 times slower for a batch of 500. For the same reason
-- the status is compared in a form that no partial index serves: the key does, and is enough.
-- Columns come as texts (store/columns.py), instants in epoch milliseconds.
UPDATE runs AS r
SET status = CASE WHEN s.status = 'due' AND r.cancel_requested THEN 'cancelled' ELSE s.status END,
    reason = CASE WHEN s.status = 'due' AND r.cancel_requested THEN 'cancelled' ELSE s.reason END,
    attempts = CASE WHEN s.record IS NULL THEN r.attempts ELSE r.attempts || s.record END,
    started_at = coalesce(r.started_at, s.started_at),
    finished_at = CASE
        WHEN s.status = 'due' AND r.cancel_requested
            THEN date_trunc('milliseconds', clock_timestamp())
        ELSE s.finished_at
    END,
    next_attempt_at = CASE WHEN NOT r.cancel_requested THEN s.next_attempt_at END,
    lateness_ms = coalesce(r.lateness_ms, s.lateness),
    duration_ms = s.duration
FROM (
    SELECT
        g.id, timestamptz 'epoch' + g.scheduled_ms * interval '1 millisecond' AS scheduled_for,
        g.attempt, g.status, g.reason, g.record, g.lateness, g.duration,
        timestamptz 'epoch' + g.started_ms * interval '1 millisecond' AS started_at,
        timestamptz 'epoch' + g.finished_ms * interval '1 millisecond' AS finished_at,
        timestamptz 'epoch' + g.next_attempt_ms * interval '1 millisecond' AS next_attempt_at
    FROM unnest(
        string_to_array($1, ',')::uuid[], string_to_array($2, ',')::bigint[],
        string_to_array($3, ',')::smallint[], string_to_array($4, U&'\001e'),
        string_to_array($5, U&'\001e', ''),
        string_to_array($6, U&'\001e', ''), string_to_array($7, ',', '')::bigint[],
        string_to_array($8, ',', '')::bigint[], string_to_array($9, ',', '')::bigint[],
        string_to_array($10, ',', '')::bigint[], string_to_array($11, ',', '')::bigint[]
    ) AS g (
        id, scheduled_ms, attempt, status, reason, record, started_ms, finished_ms,
        next_attempt_ms, lateness, duration
    )
) AS s
WHERE s.attempt + 0 = s.attempt AND s.status || '' = s.status -- one_row
    AND r.scheduled_for = s.scheduled_for AND r.id = s.id AND r.attempt_count = s.attempt
    AND r.status || '' = 'running'
RETURNING r.id, r.status;

-- settle_plain(ids, records, started_ats, finished_ats, at, ats)
-- The same for what nearly every end is: a first attempt that succeeded. What all of them have in
-- common is said once, and half as much is taken apart. The fence is the same: of the first attempt.
UPDATE runs AS r
SET status = 'succeeded',
    reason = NULL,
    attempts = ARRAY[s.record],
    started_at = timestamptz 'epoch' + s.started_ms * interval '1 millisecond',
    finished_at = timestamptz 'epoch' + s.finished_ms * interval '1 millisecond',
    next_attempt_at = NULL,
    lateness_ms = s.started_ms - coalesce(s.scheduled_ms, $5::bigint),
    duration_ms = s.finished_ms - s.started_ms
FROM unnest(
    $1::uuid[], string_to_array($2, U&'\001e'), string_to_array($3, ',')::bigint[],
    string_to_array($4, ',')::bigint[], string_to_array($6, ',', '')::bigint[]
) AS s (id, record, started_ms, finished_ms, scheduled_ms)
WHERE s.started_ms + 0 = s.started_ms AND s.finished_ms + 0 = s.finished_ms -- one_row
    AND r.scheduled_for =
        timestamptz 'epoch' + coalesce(s.scheduled_ms, $5::bigint) * interval '1 millisecond'
    AND r.id = s.id AND r.attempt_count = 1
    AND r.status || '' = 'running';

-- plain_ends(ids, records, at, ats)
-- Which of these first attempts are settled already as they were to be: settle_plain commits by
-- itself, and may have done so for a caller who had stopped waiting, or whose connection broke. Asked
-- only where it matched fewer than it was given; the record tells an end from any other.
SELECT r.id
FROM unnest(
    $1::uuid[], string_to_array($2, U&'\001e'), string_to_array($4, ',', '')::bigint[]
) AS s (id, record, scheduled_ms)
JOIN runs AS r
    ON r.id = s.id
    AND r.scheduled_for =
        timestamptz 'epoch' + coalesce(s.scheduled_ms, $3::bigint) * interval '1 millisecond'
WHERE s.id::text || '' = s.id::text AND s.record || '' = s.record -- one_row
    AND r.status || '' = 'succeeded' AND r.attempts = ARRAY[s.record];

-- lock_queues(job_ids)
-- Before release_queued, in a statement of its own: what the tick wrote meanwhile is then seen.
SELECT job_id FROM job_timers WHERE job_id = ANY ($1::uuid[]) ORDER BY job_id FOR UPDATE;

-- release_queued(job_ids, now)
-- The run that waited behind another may go once its job has no other unfinished run: one of each
-- job, the oldest, and what is caught up last. Serves overlap: queue, and runs caught up in turn.
WITH freed AS MATERIALIZED (
    SELECT DISTINCT ON (q.job_id) q.id, q.scheduled_for
    FROM runs AS q
    WHERE q.job_id = ANY ($1::uuid[]) AND q.status = 'due' AND q.queued AND NOT q.held
        AND NOT EXISTS (
            SELECT 1 FROM runs AS o
            WHERE o.job_id = q.job_id AND o.status IN ('due', 'running') AND (NOT o.queued OR o.held)
                AND o.trigger NOT IN ('backfill', 'alert') AND o.replay_id IS NULL
        )
    ORDER BY q.job_id, q.trigger = 'catch_up', q.scheduled_for
)
UPDATE runs AS r
SET queued = false, next_attempt_at = greatest(r.next_attempt_at, $2)
FROM freed
WHERE r.scheduled_for = freed.scheduled_for AND r.id = freed.id
RETURNING r.id;

-- release_runs(ids, scheduled_fors, attempts, replica)
-- Held runs that were never sent go back at once: the attempt was not made, so it is not counted.
-- One that someone asked to cancel ends here.
UPDATE runs AS r
SET status = CASE WHEN r.cancel_requested THEN 'cancelled' ELSE 'due' END,
    reason = CASE WHEN r.cancel_requested THEN 'cancelled' END,
    finished_at = CASE
        WHEN r.cancel_requested THEN date_trunc('milliseconds', clock_timestamp())
    END,
    next_attempt_at = CASE WHEN NOT r.cancel_requested THEN r.next_attempt_at END,
    attempt_count = r.attempt_count - 1,
    replica = NULL
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[]) AS h (id, scheduled_for, attempt)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
    AND r.status || '' = 'running' AND r.replica::text = $4::uuid::text
RETURNING r.id;

-- lock_timers_of(ids, scheduled_fors)
-- Before forget_runs: timers are locked before runs, everywhere.
SELECT t.job_id
FROM job_timers AS t
WHERE t.job_id IN (
    SELECT r.job_id
    FROM unnest($1::uuid[], $2::timestamptz[]) AS h (id, scheduled_for)
    JOIN runs AS r ON r.scheduled_for = h.scheduled_for AND r.id = h.id
    WHERE h.id::text || '' = h.id::text -- one_row
)
ORDER BY t.job_id
FOR UPDATE;

-- forget_runs(ids, scheduled_fors, attempts, replica, now)
-- Held first attempts of an occurrence that an edit, a pause or a delete took back before its
-- instant: nothing was sent, and whether the occurrence exists is the new revision's to say.
-- Unless that was said already: where the instant has come, the timer may have been moved past it
-- because this row was there, and a pause has noted that far. Such a row stays, or the occurrence
-- would be lost; so does one whose instant was before the minute that its namespace's quota gave it.
WITH gone AS (
    DELETE FROM runs AS r
    USING unnest($1::uuid[], $2::timestamptz[], $3::smallint[]) AS h (id, scheduled_for, attempt)
    WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
        AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
        AND r.status || '' = 'running' AND r.replica::text = $4::uuid::text
        AND NOT (
            (
                r.next_attempt_at <= $5
                OR (r.deferral ->> 'reason' = 'quota' AND (r.deferral ->> 'since')::timestamptz <= $5)
                    IS TRUE
            )
            AND EXISTS (
                SELECT 1 FROM job_timers AS t JOIN jobs AS j ON j.id = t.job_id
                WHERE t.job_id = r.job_id AND (t.scheduled_for > r.scheduled_for) IS NOT FALSE
                    AND (
                        j.state <> 'paused'
                        OR (j.pause ->> 'recorded_until')::timestamptz >= r.scheduled_for
                    )
            )
        )
    RETURNING r.id, r.job_id
),
uncounted AS (
    UPDATE job_timers AS t
    SET runs_made = greatest(0, t.runs_made - g.count)
    FROM (SELECT job_id, count(*) AS count FROM gone GROUP BY job_id) AS g
    WHERE t.job_id = g.job_id
)
SELECT id FROM gone;

-- pause_jobs(job_ids, reason, now)
-- The service pauses a job itself: its target said 410, or it can not be decided. The ledger holds
-- what lies before the timer's next occurrence; resume accounts for it and what follows. That it was
-- the service is in the audit log.
WITH stopped AS (
    SELECT t.job_id, t.scheduled_for
    FROM job_timers AS t
    JOIN jobs AS j ON j.id = t.job_id
    WHERE t.job_id = ANY ($1::uuid[]) AND j.state = 'active'
    FOR UPDATE OF t
),
timers AS (
    UPDATE job_timers AS t
    SET scheduled_for = NULL, fire_at = NULL, revision = t.revision + 1
    FROM stopped
    WHERE t.job_id = stopped.job_id
),
paused AS (
    UPDATE jobs AS j
    SET state = 'paused',
        pause = json_build_object(
            'reason', $2::text,
            'since', $3::timestamptz,
            'recorded_until', stopped.scheduled_for - interval '1 millisecond'
        ),
        revision = j.revision + 1,
        updated_at = $3
    FROM stopped
    WHERE j.id = stopped.job_id AND j.state = 'active'
    RETURNING j.id, j.namespace, j.name, j.revision
),
noted AS (
    INSERT INTO audit_pending (
        namespace, actor_kind, actor_id, action, resource_kind, resource_id, resource_name, job_id,
        before, after
    )
    SELECT
        p.namespace, 'engine', 'engine', 'job.paused', 'job', p.id::text, p.name, p.id,
        json_build_object('state', 'active', 'revision', p.revision - 1),
        json_build_object(
            'state', 'paused', 'revision', p.revision, 'pause', json_build_object('reason', $2::text)
        )
    FROM paused AS p
)
SELECT id FROM paused;

-- paused_at(job_ids, ats)
-- Whether a pause_jobs whose answer was lost has committed: nobody else has changed them at that
-- very instant.
SELECT j.id
FROM unnest($1::uuid[], $2::timestamptz[]) AS p (id, at)
JOIN jobs AS j ON j.id = p.id
WHERE j.state = 'paused' AND j.updated_at = p.at;
