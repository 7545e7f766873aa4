-- What the forecast reads, and what the herd hint asks of the timers.

-- forecast_page(namespace, after_id, at_most)
-- Jobs that will fire, page by page through the primary key; a paused one from where it resumes.
-- PostgreSQL reads no definition that has a NUL somewhere: it gets another character for it.
SELECT
    j.id, j.created_at, j.definition -> 'schedule' AS schedule,
    j.definition -> 'target' ->> 'url' AS url,
    coalesce(CASE j.state WHEN 'active' THEN t.scheduled_for END, j.until) AS from_at,
    t.runs_made, j.state = 'paused' AS paused
FROM (
    SELECT
        id, created_at, replace(definition::text, '\u0000', '\u0001')::json AS definition, state,
        (pause ->> 'until')::timestamptz AS until
    FROM jobs
    WHERE namespace = $1 AND id > $2 AND state <> 'completed'
    ORDER BY id LIMIT $3
) AS j
JOIN job_timers AS t ON t.job_id = j.id
ORDER BY j.id;

-- count_timers_between(low, high, at_most, but_not, namespace, looked_at)
-- How many other jobs of a namespace are next due in [low, high), through job_timers_due: at most
-- so many are looked at, whoever's they are. LIMIT 1 keeps it to one look by key for each.
SELECT count(*) FROM (
    SELECT
    FROM (
        SELECT job_id FROM job_timers
        WHERE fire_at >= $1 AND fire_at < $2 AND job_id <> $4
        ORDER BY fire_at, job_id
        LIMIT $6
    ) AS due
    CROSS JOIN LATERAL (
        SELECT FROM jobs WHERE jobs.id = due.job_id AND jobs.namespace = $5 LIMIT 1
    ) AS own
    LIMIT $3
) AS herd;
