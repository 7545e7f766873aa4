-- What is due behind a crowd: many timers of one namespace at about one instant.

-- has_others(namespaces)
-- Whether more namespaces than so many have jobs, by skipping through jobs_list_created.
WITH RECURSIVE names AS (
    (SELECT namespace FROM jobs ORDER BY namespace LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.namespace FROM jobs AS j WHERE j.namespace > names.namespace
        ORDER BY j.namespace LIMIT 1
    )
    FROM names WHERE names.namespace IS NOT NULL
),
found AS MATERIALIZED (SELECT namespace FROM names LIMIT $1::integer + 1)
SELECT count(namespace) > $1::integer FROM found;

-- look_past(after_fire_at, after_job_id, horizon, at_most, namespaces)
-- Timers as the claim scans them, but those of the crowding namespaces are only read: none is
-- locked, so that they stay for whoever has a slot for them. A job's namespace never changes, so
-- that reading it here pairs nothing old with anything new. The last one tells how far it came.
WITH seen AS MATERIALIZED (
    SELECT job_id, fire_at FROM job_timers
    WHERE (fire_at, job_id) > ($1::timestamptz, $2::uuid) AND fire_at <= $3
    ORDER BY fire_at, job_id
    LIMIT $4
),
last AS (SELECT fire_at, job_id FROM seen ORDER BY fire_at DESC, job_id DESC LIMIT 1)
SELECT
    (SELECT count(*) FROM seen) AS read,
    (SELECT fire_at FROM last) AS last_fire_at,
    (SELECT job_id FROM last) AS last_job_id,
    ARRAY(
        SELECT s.job_id FROM seen AS s JOIN jobs AS j ON j.id = s.job_id
        WHERE j.namespace <> ALL ($5::text[])
        ORDER BY s.fire_at, s.job_id
    ) AS others;

-- lock_listed_timers(job_ids, horizon)
-- Of those that were found, the ones that nobody took meanwhile, by key.
SELECT job_id, scheduled_for, fire_at, revision, runs_made
FROM job_timers
WHERE job_id = ANY ($1::uuid[]) AND fire_at <= $2
FOR UPDATE SKIP LOCKED;
