-- What explain reads: the runs of one instant, and the compact row around it.

-- runs_at(job_id, scheduled_for)
-- Every run of a job that bears an instant; through runs_job, in the instant's own day.
SELECT
    id, trigger, scheduled_for, status, reason, occurrences, scheduled_until AS until,
    attempt_count, queued, held, started_at, finished_at, lateness_ms, next_attempt_at, completion_until,
    deferral
FROM runs
WHERE job_id = $1 AND scheduled_for = $2 AND trigger <> 'alert'
ORDER BY id
LIMIT 100;

-- covering_run(job_id, instant)
-- The compact row whose range holds an instant; ranges of one job follow each other, so of those
-- that begin before it only the last few can. Through runs_ranges.
SELECT * FROM (
    SELECT
        id, trigger, scheduled_for, status, reason, occurrences, scheduled_until AS until,
        attempt_count, queued, held, started_at, finished_at, lateness_ms, next_attempt_at,
        completion_until, deferral
    FROM runs
    WHERE job_id = $1 AND scheduled_for < $2 AND scheduled_until IS NOT NULL
    ORDER BY scheduled_for DESC
    LIMIT 8
) AS ranges
WHERE until >= $2
ORDER BY scheduled_for DESC
LIMIT 1;
