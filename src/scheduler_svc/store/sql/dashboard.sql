-- What the dashboard sums up. Each statement is bounded: by a window of the history, by rows looked
-- at, or by a number for each job. Planned afresh at each call (plan_afresh), so that days outside of
-- the window are left out.

-- fires_by_minute(namespace, since, until)
-- What was due in each minute and was not skipped: through the primary key. Asked for minutes that
-- are not known yet, so of a whole hour only once.
SELECT date_trunc('minute', scheduled_for) AS minute, count(*) AS fires
FROM runs
WHERE scheduled_for >= $2 AND scheduled_for < $3
    AND namespace = $1 AND status <> 'skipped' AND trigger <> 'alert'
GROUP BY 1;

-- failures_by_minute(namespace, since, until, at_most)
-- What failed of it, the newest so many: through runs_failed.
SELECT date_trunc('minute', f.scheduled_for) AS minute, count(*) AS failures
FROM (
    SELECT scheduled_for FROM runs
    WHERE namespace = $1 AND status = 'failed'
        AND scheduled_for >= $2 AND scheduled_for < $3 AND trigger <> 'alert'
    ORDER BY scheduled_for DESC, id DESC
    LIMIT $4
) AS f
GROUP BY 1;

-- recent_pulse(namespace, since, until, looked_at)
-- How the newest runs went and how late they were: backward through the primary key, so many rows of
-- all namespaces at most.
SELECT
    count(*) FILTER (WHERE status IN ('succeeded', 'failed')) AS ended,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms)
        FILTER (WHERE trigger = 'schedule') AS p50_ms,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms)
        FILTER (WHERE trigger = 'schedule') AS p99_ms
FROM (
    SELECT namespace, trigger, status, lateness_ms FROM runs
    WHERE scheduled_for >= $2 AND scheduled_for < $3
    ORDER BY scheduled_for DESC, id DESC
    LIMIT $4
) AS r
WHERE namespace = $1 AND trigger <> 'alert';

-- unended_runs(namespace, now, at_most)
-- What is under way and what waits, and for what: through the partial indexes of open runs.
SELECT
    count(*) FILTER (WHERE status = 'running') AS running,
    count(*) FILTER (WHERE status = 'due' AND NOT queued AND next_attempt_at <= $2) AS waiting,
    count(*) FILTER (WHERE status = 'due' AND NOT queued AND next_attempt_at > $2) AS retrying,
    count(*) FILTER (WHERE status = 'due' AND queued) AS queued
FROM (
    SELECT namespace, status, queued, next_attempt_at FROM runs
    WHERE status IN ('due', 'running')
    LIMIT $3
) AS r
WHERE namespace = $1;

-- overdue_of_namespace(namespace, before, at_most)
-- Jobs whose instant passed and that nobody claimed: along job_timers_due.
SELECT count(*) AS overdue
FROM (
    SELECT job_id FROM job_timers WHERE fire_at < $2 ORDER BY fire_at, job_id LIMIT $3
) AS t
JOIN jobs AS j ON j.id = t.job_id
WHERE j.namespace = $1 AND j.state = 'active';

-- count_jobs_by_state(namespace, at_most)
-- How many jobs are in each state, up to so many: within jobs_list_state alone.
SELECT s.state, n.count
FROM unnest(ARRAY['active', 'paused', 'completed']) AS s (state)
CROSS JOIN LATERAL (
    SELECT count(*) AS count
    FROM (
        SELECT FROM jobs AS j WHERE j.namespace = $1 AND j.state = s.state LIMIT $2
    ) AS few
) AS n;

-- past_runs(job_ids, since, until, per_job)
-- The newest runs of each of some jobs: through runs_job, so many of each.
SELECT
    r.job_id, r.id, r.scheduled_for, r.trigger, r.status, r.reason, r.occurrences, r.attempt_count,
    r.lateness_ms, r.duration_ms
FROM unnest($1::uuid[]) AS g (job_id)
CROSS JOIN LATERAL (
    SELECT
        job_id, id, scheduled_for, trigger, status, reason, occurrences, attempt_count,
        lateness_ms, duration_ms
    FROM runs
    WHERE job_id = g.job_id AND trigger <> 'alert'
        AND scheduled_for >= $2 AND scheduled_for < $3
    ORDER BY scheduled_for DESC, id DESC
    LIMIT $4
) AS r
ORDER BY r.scheduled_for DESC, r.id DESC;

-- runs_by_day(job_id, since, until, per_day)
-- What became of a job on each day, judged by so many runs of a day: through runs_job. The bounds
-- are days of the job's zone, which have 23 hours or 25 now and then.
SELECT
    d.since, count(*) AS runs,
    count(*) FILTER (WHERE r.status = 'failed') AS failed,
    count(*) FILTER (WHERE r.status = 'skipped') AS skipped
FROM unnest($2::timestamptz[], $3::timestamptz[]) AS d (since, until)
CROSS JOIN LATERAL (
    SELECT status FROM runs
    WHERE job_id = $1 AND trigger <> 'alert'
        AND scheduled_for >= d.since AND scheduled_for < d.until
    ORDER BY scheduled_for DESC, id DESC
    LIMIT $4
) AS r
GROUP BY 1;
