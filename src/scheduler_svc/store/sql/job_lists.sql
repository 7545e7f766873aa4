-- One statement for each order of the list of jobs. The filters are optional; these are planned
-- afresh at each call (plan_afresh), so a filter that is null costs nothing and one that is given may
-- choose its index. A page begins after the key of the last row before it.

-- plan_afresh()
-- A plan made for any parameters can not use the index of a filter that may be null.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

-- list_jobs_created_desc(namespace, created_at, id, at_most, state, labels, name_from, name_to, q)
-- Newest first: backward through jobs_list_created.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND (j.created_at, j.id) < ($2, $3)
    AND ($5::text IS NULL OR j.state = $5)
    AND ($6::jsonb IS NULL OR j.labels @> $6)
    AND ($7::text IS NULL
        OR (j.name COLLATE "C" >= $7 AND j.name COLLATE "C" < $8))
    AND ($9::text IS NULL
        OR strpos(coalesce(j.name, ''), $9) > 0 OR strpos(j.description, $9) > 0)
ORDER BY j.created_at DESC, j.id DESC
LIMIT $4;

-- list_jobs_created_asc(namespace, created_at, id, at_most, state, labels, name_from, name_to, q)
-- Oldest first: through jobs_list_created.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND (j.created_at, j.id) > ($2, $3)
    AND ($5::text IS NULL OR j.state = $5)
    AND ($6::jsonb IS NULL OR j.labels @> $6)
    AND ($7::text IS NULL
        OR (j.name COLLATE "C" >= $7 AND j.name COLLATE "C" < $8))
    AND ($9::text IS NULL
        OR strpos(coalesce(j.name, ''), $9) > 0 OR strpos(j.description, $9) > 0)
ORDER BY j.created_at, j.id
LIMIT $4;

-- list_jobs_name_asc(namespace, name, id, at_most, state, labels, name_from, name_to, q)
-- By name: through jobs_list_name; the comparison leaves out those without a name.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND (j.name COLLATE "C", j.id) > ($2, $3)
    AND ($5::text IS NULL OR j.state = $5)
    AND ($6::jsonb IS NULL OR j.labels @> $6)
    AND ($7::text IS NULL
        OR (j.name COLLATE "C" >= $7 AND j.name COLLATE "C" < $8))
    AND ($9::text IS NULL
        OR strpos(coalesce(j.name, ''), $9) > 0 OR strpos(j.description, $9) > 0)
ORDER BY j.name COLLATE "C", j.id
LIMIT $4;

-- list_jobs_name_desc(namespace, name, id, at_most, state, labels, name_from, name_to, q)
-- By name, the last first: backward through jobs_list_name.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND (j.name COLLATE "C", j.id) < ($2, $3)
    AND ($5::text IS NULL OR j.state = $5)
    AND ($6::jsonb IS NULL OR j.labels @> $6)
    AND ($7::text IS NULL
        OR (j.name COLLATE "C" >= $7 AND j.name COLLATE "C" < $8))
    AND ($9::text IS NULL
        OR strpos(coalesce(j.name, ''), $9) > 0 OR strpos(j.description, $9) > 0)
ORDER BY j.name COLLATE "C" DESC, j.id DESC
LIMIT $4;

-- list_jobs_unnamed_asc(namespace, id, at_most, state, labels, name_from, name_to, q)
-- What follows the names: those without one.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.name IS NULL AND j.id > $2
    AND ($4::text IS NULL OR j.state = $4)
    AND ($5::jsonb IS NULL OR j.labels @> $5)
    AND ($6::text IS NULL
        OR (j.name COLLATE "C" >= $6 AND j.name COLLATE "C" < $7))
    AND ($8::text IS NULL
        OR strpos(coalesce(j.name, ''), $8) > 0 OR strpos(j.description, $8) > 0)
ORDER BY j.id
LIMIT $3;

-- list_jobs_unnamed_desc(namespace, id, at_most, state, labels, name_from, name_to, q)
-- What follows the names, the last first.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.name IS NULL AND j.id < $2
    AND ($4::text IS NULL OR j.state = $4)
    AND ($5::jsonb IS NULL OR j.labels @> $5)
    AND ($6::text IS NULL
        OR (j.name COLLATE "C" >= $6 AND j.name COLLATE "C" < $7))
    AND ($8::text IS NULL
        OR strpos(coalesce(j.name, ''), $8) > 0 OR strpos(j.description, $8) > 0)
ORDER BY j.id DESC
LIMIT $3;

-- list_jobs_next_asc(namespace, fire_at, id, at_most, state, labels, name_from, name_to, q)
-- The next to fire first: through job_timers_due. A paused job's timer may stand at its resumption.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND (t.fire_at, t.job_id) > ($2, $3)
    AND t.fire_at IS NOT NULL AND j.state = 'active'
    AND ($5::text IS NULL OR j.state = $5)
    AND ($6::jsonb IS NULL OR j.labels @> $6)
    AND ($7::text IS NULL
        OR (j.name COLLATE "C" >= $7 AND j.name COLLATE "C" < $8))
    AND ($9::text IS NULL
        OR strpos(coalesce(j.name, ''), $9) > 0 OR strpos(j.description, $9) > 0)
ORDER BY t.fire_at, t.job_id
LIMIT $4;

-- list_jobs_next_desc(namespace, fire_at, id, at_most, state, labels, name_from, name_to, q)
-- The last to fire first: backward through job_timers_due.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND (t.fire_at, t.job_id) < ($2, $3)
    AND t.fire_at IS NOT NULL AND j.state = 'active'
    AND ($5::text IS NULL OR j.state = $5)
    AND ($6::jsonb IS NULL OR j.labels @> $6)
    AND ($7::text IS NULL
        OR (j.name COLLATE "C" >= $7 AND j.name COLLATE "C" < $8))
    AND ($9::text IS NULL
        OR strpos(coalesce(j.name, ''), $9) > 0 OR strpos(j.description, $9) > 0)
ORDER BY t.fire_at DESC, t.job_id DESC
LIMIT $4;

-- list_jobs_idle_asc(namespace, id, at_most, state, labels, name_from, name_to, q)
-- What follows: those that are paused or completed, named so that a few are found through
-- jobs_list_state.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.state IN ('paused', 'completed') AND j.id > $2
    AND ($4::text IS NULL OR j.state = $4)
    AND ($5::jsonb IS NULL OR j.labels @> $5)
    AND ($6::text IS NULL
        OR (j.name COLLATE "C" >= $6 AND j.name COLLATE "C" < $7))
    AND ($8::text IS NULL
        OR strpos(coalesce(j.name, ''), $8) > 0 OR strpos(j.description, $8) > 0)
ORDER BY j.id
LIMIT $3;

-- list_jobs_idle_desc(namespace, id, at_most, state, labels, name_from, name_to, q)
-- What follows, the last first.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.state IN ('paused', 'completed') AND j.id < $2
    AND ($4::text IS NULL OR j.state = $4)
    AND ($5::jsonb IS NULL OR j.labels @> $5)
    AND ($6::text IS NULL
        OR (j.name COLLATE "C" >= $6 AND j.name COLLATE "C" < $7))
    AND ($8::text IS NULL
        OR strpos(coalesce(j.name, ''), $8) > 0 OR strpos(j.description, $8) > 0)
ORDER BY j.id DESC
LIMIT $3;
