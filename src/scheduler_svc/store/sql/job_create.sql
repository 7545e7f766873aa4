-- A job in one statement, which is its own transaction; or several, of several callers.

-- create_job(id, namespace, name, description, labels, definition, state, revision, created_at, scheduled_for, fire_at, versions, instants, refresh_at, notice, settings_revision, settings_at, crowd_low, crowd_high, crowd_max, actor_kind, actor_id, actor_name, address, request_id, after)
-- What insert_job and insert_audit write, for a create that needs no more: one round trip in place
-- of six. Nothing is written where the settings of the namespace are not those that the job was
-- judged by. Counts the timers that are due in the job's minute, whoever's they are, as far as
-- crowd_max: mostly that is no herd, and nobody need look closer.
WITH job AS (
    INSERT INTO jobs (
        id, namespace, name, description, labels, definition, state, revision, created_at,
        updated_at
    )
    SELECT $1, $2, $3, $4, $5::jsonb, $6::json, $7, $8, $9, $9
    WHERE (SELECT revision FROM namespaces WHERE name = $2) IS NOT DISTINCT FROM $16::bigint
        AND (SELECT updated_at FROM namespaces WHERE name = $2) IS NOT DISTINCT FROM $17
    RETURNING id
),
timer AS (
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT job.id, $10, $11, $8 FROM job
),
expectation AS (
    INSERT INTO job_expectations (job_id, versions, instants, refresh_at)
    SELECT job.id, $12, $13::text::timestamptz[], $14 FROM job
),
entry AS (
    INSERT INTO audit_pending (
        namespace, actor_kind, actor_id, actor_name, address, request_id, action, resource_kind,
        resource_id, resource_name, job_id, after
    )
    SELECT
        $2, $21, $22, $23, $24, $25, 'job.created', 'job', job.id::text, $3, job.id, $26::json
    FROM job
)
SELECT
    EXISTS (SELECT FROM job) AS made,
    (SELECT pg_notify('scheduler', $15::text) FROM job WHERE $15::text IS NOT NULL) AS told,
    (
        SELECT count(*) FROM (
            SELECT FROM job_timers WHERE fire_at >= $18 AND fire_at < $19 LIMIT $20
        ) AS near
    ) AS crowd;

-- create_jobs(crowd_max, notice, ids, namespaces, descriptions, labels, definitions, states, created_ats, scheduled_fors, fire_ats, versions, instants, refresh_ats, settings_revisions, settings_ats, crowd_lows, crowd_highs, actor_kinds, actor_ids, actor_names, addresses, request_ids, afters)
-- The same for several jobs without names, each judged by the settings of its own namespace. Most of
-- what one costs is the beginning and the end of its statement. The arrays are hidden behind a
-- SELECT: the planner would else plan anew at each call, for as many rows as it sees in them.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(
        (SELECT $3::uuid[]), (SELECT $4::text[]), (SELECT $5::text[]), (SELECT $6::text[]),
        (SELECT $7::text[]), (SELECT $8::text[]), (SELECT $9::timestamptz[]),
        (SELECT $10::timestamptz[]), (SELECT $11::timestamptz[]), (SELECT $12::text[]),
        (SELECT $13::text[]), (SELECT $14::timestamptz[]), (SELECT $15::bigint[]),
        (SELECT $16::timestamptz[]), (SELECT $17::timestamptz[]), (SELECT $18::timestamptz[]),
        (SELECT $19::text[]), (SELECT $20::text[]), (SELECT $21::text[]), (SELECT $22::text[]),
        (SELECT $23::text[]), (SELECT $24::text[])
    ) WITH ORDINALITY AS g (
        id, namespace, description, labels, definition, state, created_at, scheduled_for, fire_at,
        versions, instants, refresh_at, settings_revision, settings_at, crowd_low, crowd_high,
        actor_kind, actor_id, actor_name, address, request_id, after, place
    )
),
allowed AS MATERIALIZED (
    SELECT g.*
    FROM given AS g
    WHERE (SELECT n.revision FROM namespaces AS n WHERE n.name = g.namespace)
            IS NOT DISTINCT FROM g.settings_revision
        AND (SELECT n.updated_at FROM namespaces AS n WHERE n.name = g.namespace)
            IS NOT DISTINCT FROM g.settings_at
),
job AS (
    INSERT INTO jobs (
        id, namespace, name, description, labels, definition, state, revision, created_at,
        updated_at
    )
    SELECT
        id, namespace, NULL, description, labels::jsonb, definition::json, state, 1, created_at,
        created_at
    FROM allowed
),
timer AS (
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT id, scheduled_for, fire_at, 1 FROM allowed
),
expectation AS (
    INSERT INTO job_expectations (job_id, versions, instants, refresh_at)
    SELECT id, versions, instants::timestamptz[], refresh_at FROM allowed
),
entry AS (
    INSERT INTO audit_pending (
        namespace, actor_kind, actor_id, actor_name, address, request_id, action, resource_kind,
        resource_id, resource_name, job_id, after
    )
    SELECT
        namespace, actor_kind, actor_id, actor_name, address, request_id, 'job.created', 'job',
        id::text, NULL, id, after::json
    FROM allowed
)
SELECT
    EXISTS (SELECT FROM allowed AS a WHERE a.place = g.place) AS made,
    (SELECT pg_notify('scheduler', $2::text) WHERE $2::text IS NOT NULL) AS told,
    (
        SELECT count(*) FROM (
            SELECT FROM job_timers AS t
            WHERE t.fire_at >= g.crowd_low AND t.fire_at < g.crowd_high LIMIT $1
        ) AS near
    ) AS crowd
FROM given AS g
ORDER BY g.place;
