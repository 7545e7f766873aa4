-- The audit log as it is listed: newest first, one statement for each index that may lead.

-- list_audit_by_request(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_request.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE request_id = $7
    AND ($1 = '*' OR namespace = $1)
    AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR actor_id = $3)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($5::text IS NULL OR resource_id = $5)
    AND ($6::uuid IS NULL OR job_id = $6)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;

-- list_audit_by_job(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_job.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE job_id = $6
    AND ($1 = '*' OR namespace = $1)
    AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR actor_id = $3)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($5::text IS NULL OR resource_id = $5)
    AND ($7::text IS NULL OR request_id = $7)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;

-- list_audit_by_resource(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_resource.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE resource_id = $5
    AND ($1 = '*' OR namespace = $1)
    AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR actor_id = $3)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($6::uuid IS NULL OR job_id = $6)
    AND ($7::text IS NULL OR request_id = $7)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;

-- list_audit_by_actor(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_actor.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE actor_id = $3
    AND ($1 = '*' OR namespace = $1)
    AND ($2::text IS NULL OR action = $2)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($5::text IS NULL OR resource_id = $5)
    AND ($6::uuid IS NULL OR job_id = $6)
    AND ($7::text IS NULL OR request_id = $7)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;

-- list_audit_by_action(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_action.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE action = $2
    AND ($1 = '*' OR namespace = $1)
    AND ($3::text IS NULL OR actor_id = $3)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($5::text IS NULL OR resource_id = $5)
    AND ($6::uuid IS NULL OR job_id = $6)
    AND ($7::text IS NULL OR request_id = $7)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;

-- list_audit_by_namespace(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_namespace.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE namespace = $1
    AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR actor_id = $3)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($5::text IS NULL OR resource_id = $5)
    AND ($6::uuid IS NULL OR job_id = $6)
    AND ($7::text IS NULL OR request_id = $7)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;

-- list_audit_by_all(namespace, action, actor, resource_kind, resource_id, job_id, request_id, since, until, after_at, after_seq, at_most)
-- Served by audit_log_all: of all namespaces, for those who see them all.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE ($1 = '*' OR namespace = $1)
    AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR actor_id = $3)
    AND ($4::text IS NULL OR resource_kind = $4)
    AND ($5::text IS NULL OR resource_id = $5)
    AND ($6::uuid IS NULL OR job_id = $6)
    AND ($7::text IS NULL OR request_id = $7)
    AND at >= $8 AND at < $9
    AND (at, seq) < ($10::timestamptz, $11::bigint)
ORDER BY at DESC, seq DESC
LIMIT $12;
