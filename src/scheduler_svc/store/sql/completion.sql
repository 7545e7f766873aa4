-- Runs of jobs whose targets report their end themselves: settled, reported, extended, timed out.
-- A run that awaits its report is `running`, has no replica, and has completion_until.

-- settle_callbacks(ids, scheduled_fors, attempts, statuses, reasons, records, started_ats, finished_ats, next_attempt_ats, lateness, durations, timeouts_ms, now)
-- settle_runs for jobs with `completion: callback`, fenced alike. `running` says that the target
-- took it: the run lets go of its replica and awaits the report. What was reported while the attempt
-- was still in flight ends the run, whatever the answer was.
UPDATE runs AS r
SET status = CASE
        WHEN r.completion_status IS NOT NULL THEN r.completion_status
        WHEN s.status IN ('due', 'running') AND r.cancel_requested THEN 'cancelled'
        ELSE s.status
    END,
    reason = CASE
        WHEN r.completion_status = 'failed' THEN 'completion'
        WHEN r.completion_status IS NOT NULL THEN NULL
        WHEN s.status IN ('due', 'running') AND r.cancel_requested THEN 'cancelled'
        ELSE s.reason
    END,
    attempts = CASE WHEN s.record IS NULL THEN r.attempts ELSE r.attempts || s.record END,
    started_at = coalesce(r.started_at, s.started_at),
    finished_at = CASE
        WHEN s.status NOT IN ('due', 'running') THEN s.finished_at
        WHEN r.completion_status IS NOT NULL OR r.cancel_requested THEN $13::timestamptz
    END,
    next_attempt_at = CASE
        WHEN r.completion_status IS NOT NULL OR r.cancel_requested THEN NULL
        WHEN s.status = 'running' THEN r.next_attempt_at
        ELSE s.next_attempt_at
    END,
    replica = CASE
        WHEN s.status = 'running' AND r.completion_status IS NULL AND NOT r.cancel_requested
            THEN NULL
        ELSE r.replica
    END,
    completion_until = CASE
        WHEN s.status = 'running' AND r.completion_status IS NULL AND NOT r.cancel_requested
            THEN $13::timestamptz + s.timeout_ms * interval '1 millisecond'
    END,
    completion_ms = s.timeout_ms,
    lateness_ms = coalesce(r.lateness_ms, s.lateness),
    duration_ms = s.duration
FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::smallint[], $4::text[], $5::text[], $6::text[],
    $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::bigint[],
    $12::bigint[]
) AS s (
    id, scheduled_for, attempt, status, reason, record, started_at, finished_at, next_attempt_at,
    lateness, duration, timeout_ms
)
WHERE s.id::text || '' = s.id::text AND s.status || '' = s.status -- one_row, see settle_runs
    AND r.scheduled_for = s.scheduled_for AND r.id = s.id AND r.attempt_count = s.attempt
    AND r.status || '' = 'running' AND r.replica IS NOT NULL
RETURNING r.id, r.status, r.reason;

-- job_of_run(id, scheduled_for)
-- Whose timer to lock before the run.
SELECT job_id FROM runs WHERE scheduled_for = $2 AND id = $1;

-- lock_reported_run(id, scheduled_for)
-- The token has been judged, and names the run in whatever namespace it is.
SELECT
    id, job_id, job_name, namespace, trigger, scheduled_for, occurrences, scheduled_until, status,
    reason, attempt_count, replay_of, backfill_id, claimed_at, started_at, finished_at,
    lateness_ms, duration_ms, next_attempt_at, replica, attempts, replay_id, completion_until,
    completion_status, completion_detail, deferral, overrides
FROM runs
WHERE scheduled_for = $2 AND id = $1
FOR UPDATE;

-- note_report(id, scheduled_for, status, detail)
-- Reported while the attempt is in flight: its settle ends the run by this.
UPDATE runs SET completion_status = $3, completion_detail = $4
WHERE scheduled_for = $2 AND id = $1 AND status = 'running';

-- end_by_report(id, scheduled_for, status, detail, now)
-- Reported while nobody works on it: it awaits the report, or a retry that is needed no more.
UPDATE runs
SET status = $3, completion_status = $3, completion_detail = $4, finished_at = $5,
    reason = CASE WHEN $3 = 'failed' THEN 'completion' END,
    next_attempt_at = NULL, queued = false,
    duration_ms = (extract(epoch FROM $5::timestamptz - started_at) * 1000)::bigint
WHERE scheduled_for = $2 AND id = $1
    AND (status = 'due' OR (status = 'running' AND completion_until IS NOT NULL));

-- extend_completion(id, scheduled_for, now)
-- A heartbeat: the whole time-out once more, from now.
UPDATE runs SET completion_until = $3::timestamptz + completion_ms * interval '1 millisecond'
WHERE scheduled_for = $2 AND id = $1 AND status = 'running' AND completion_until IS NOT NULL;

-- overdue_completions(now, batch)
-- Whose report has not come in time, through runs_awaiting; locked by the statement that ends them,
-- after the timers of their jobs. In a held namespace the report may have come after the backup.
SELECT id, scheduled_for, job_id FROM runs
WHERE status = 'running' AND completion_until <= $1
    AND NOT EXISTS (SELECT FROM holds AS h WHERE h.namespace = runs.namespace)
ORDER BY completion_until
LIMIT $2;

-- expire_completions(ids, scheduled_fors, now)
-- Seen anew: a heartbeat or a report may have come between.
UPDATE runs AS r
SET status = 'failed', reason = 'completion_timeout', finished_at = $3, next_attempt_at = NULL,
    duration_ms = (extract(epoch FROM $3::timestamptz - r.started_at) * 1000)::bigint
FROM unnest($1::uuid[], $2::timestamptz[]) AS c (id, scheduled_for)
WHERE c.id::text || '' = c.id::text AND c.scheduled_for::text || '' = c.scheduled_for::text -- one_row
    AND r.scheduled_for = c.scheduled_for AND r.id = c.id AND r.status || '' = 'running'
    AND r.completion_until <= $3
RETURNING
    r.id, r.job_id, r.namespace, r.trigger, r.scheduled_for, r.status, r.reason, r.attempt_count,
    r.started_at, r.lateness_ms, r.duration_ms, r.replay_id IS NOT NULL AS by_filter;

-- ended_runs(ids, scheduled_fors)
-- What ended without a settle, for the alerts of their jobs.
SELECT
    r.id, r.job_id, r.namespace, r.trigger, r.scheduled_for, r.status, r.reason, r.attempt_count,
    r.started_at, r.lateness_ms, r.duration_ms, r.replay_id IS NOT NULL AS by_filter
FROM unnest($1::uuid[], $2::timestamptz[]) AS e (id, scheduled_for)
JOIN runs AS r ON r.scheduled_for = e.scheduled_for AND r.id = e.id
WHERE e.id::text || '' = e.id::text AND e.scheduled_for::text || '' = e.scheduled_for::text; -- one_row
