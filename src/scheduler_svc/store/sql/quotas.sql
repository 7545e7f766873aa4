-- Quotas of namespaces: what is counted, and under which lock.

-- lock_creates(lock)
-- Creates of a namespace with a quota of jobs go one after the other, so that what each counts is
-- what there is. An advisory lock, for a namespace may go by defaults and have no row. Those of a
-- namespace without a quota never take it.
SELECT pg_advisory_xact_lock($1);

-- count_jobs(namespace, at_most)
-- Through jobs_list_created, and no further than the answer matters.
SELECT count(*) FROM (SELECT FROM jobs WHERE namespace = $1 LIMIT $2) AS found;

-- lock_calendars(namespaces)
-- Those that nobody else is at. The engine never waits for one: what it may not judge now it looks
-- at again.
SELECT namespace, first, given, past FROM run_calendars
WHERE namespace = ANY ($1::text[])
FOR UPDATE SKIP LOCKED;

-- make_calendars(namespaces)
-- In a transaction of its own, for whoever else makes one is waited for.
INSERT INTO run_calendars (namespace, first, given, past)
SELECT n.namespace, 0, '{}', '{}' FROM unnest($1::text[]) AS n (namespace)
ON CONFLICT DO NOTHING;

-- wait_for_calendar(namespace)
-- For a request: after job_timers, jobs and concurrency_keys, before runs.
SELECT namespace, first, given, past FROM run_calendars WHERE namespace = $1 FOR UPDATE;

-- read_calendar(namespace)
-- What a namespace shows of its use.
SELECT namespace, first, given, past FROM run_calendars WHERE namespace = $1;

-- write_calendar(namespace, first, given, past)
-- Under the lock of the row.
UPDATE run_calendars SET first = $2, given = $3, past = $4 WHERE namespace = $1;

-- put_off_runs(ids, scheduled_fors, attempts, instants, deferrals, replica)
-- Claimed runs of the past whose minute has no room: back to waiting until the instant that they were
-- given, the attempt uncounted. They wait since they first did. One that someone asked to cancel ends here.
UPDATE runs AS r
SET status = CASE WHEN r.cancel_requested THEN 'cancelled' ELSE 'due' END,
    reason = CASE WHEN r.cancel_requested THEN 'cancelled' END,
    finished_at = CASE
        WHEN r.cancel_requested THEN date_trunc('milliseconds', clock_timestamp())
    END,
    next_attempt_at = CASE WHEN NOT r.cancel_requested THEN h.instant END,
    attempt_count = r.attempt_count - 1,
    replica = NULL,
    deferral = CASE
        WHEN h.deferral IS NULL THEN r.deferral
        ELSE h.deferral::jsonb || jsonb_build_object(
            'since', coalesce(r.deferral ->> 'since', h.deferral::jsonb ->> 'since')
        )
    END
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[], $4::timestamptz[], $5::text[])
    AS h (id, scheduled_for, attempt, instant, deferral)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
    AND r.status || '' = 'running' AND r.replica::text = $6::uuid::text;
