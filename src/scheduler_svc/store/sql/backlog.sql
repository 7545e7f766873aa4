-- backlog_of_timers(now, overdue_before, never_ran_before, most)
-- For the metrics: what has come due and was not claimed, counted up to a bound along the index.
SELECT
    count(*) AS due,
    count(*) FILTER (WHERE fire_at <= $2) AS overdue,
    min(fire_at) AS oldest,
    count(*) FILTER (WHERE fire_at <= $3 AND runs_made = 0 AND scheduled_for IS NOT NULL)
        AS never_ran
FROM (
    SELECT fire_at, runs_made, scheduled_for FROM job_timers
    WHERE fire_at <= $1 ORDER BY fire_at, job_id LIMIT $4
) AS t;

-- backlog_of_runs(now, overdue_before, background_below, most)
-- For the metrics: runs that wait for a slot, level by level as the claim takes them, so that
-- retries of a later instant are not read; at most so many of each level. What waits because of its
-- key waits for no slot.
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
    levels.priority < $3 AS background,
    count(*) AS due,
    count(*) FILTER (WHERE d.next_attempt_at <= $2) AS overdue,
    min(d.next_attempt_at) AS oldest
FROM levels
CROSS JOIN LATERAL (
    SELECT r.next_attempt_at FROM runs AS r
    WHERE r.status = 'due' AND NOT r.queued AND r.concurrency_key IS NULL
        AND r.priority = levels.priority AND r.next_attempt_at <= $1
    ORDER BY r.next_attempt_at LIMIT $4
) AS d
GROUP BY 1;
