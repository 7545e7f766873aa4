-- Many jobs by name, as a file of jobs has them.

-- named_jobs(namespace, names)
-- Jobs as they are, without a lock: those that turn out to be as the file says are not touched at
-- all, and a lock of a row is a write. Served by jobs_name.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.name = ANY ($2::text[]);

-- owned_jobs(namespace, label, names, at_most)
-- Jobs that bear a label and that a file does not name. What has no name no file can name.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.labels @> $2::jsonb AND j.name IS NOT NULL
    AND NOT j.name = ANY ($3::text[])
ORDER BY j.name
LIMIT $4;

-- change_definitions(job_ids, descriptions, labels, definitions, revisions, now)
-- What update_job and set_timer_revision write for one, for many whose names and schedules stay.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[])
        AS g (id, description, labels, definition, revision)
),
timers AS (
    UPDATE job_timers AS t SET revision = g.revision FROM given AS g WHERE t.job_id = g.id
)
UPDATE jobs AS j
SET description = g.description, labels = g.labels::jsonb, definition = g.definition::json,
    revision = g.revision, updated_at = $6
FROM given AS g
WHERE j.id = g.id;

-- unkey_runs_of(job_ids)
-- What unkey_runs does for one, for many.
UPDATE runs
SET concurrency_key = NULL
WHERE job_id = ANY ($1::uuid[]) AND status = 'due' AND concurrency_key IS NOT NULL
    AND trigger <> 'alert';
