-- One job in one statement, which is its own transaction.

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
