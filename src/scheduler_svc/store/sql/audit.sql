-- The audit log. What was changed is written to audit_pending, beside its effect; one replica at a
-- time, under an advisory lock, moves it to audit_log. Neither is ever updated.

-- insert_audit(namespace, actor_kind, actor_id, actor_name, address, request_id, action, resource_kind, resource_id, resource_name, job_id, before, after, many)
-- In the transaction of the effect, by the database's clock; it waits for nobody.
INSERT INTO audit_pending (
    namespace, actor_kind, actor_id, actor_name, address, request_id, action, resource_kind,
    resource_id, resource_name, job_id, before, after, many
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::json, $13::json, $14::json);

-- lock_audit(lock)
-- One replica extends or prunes the chain; the others need not wait for it.
SELECT pg_try_advisory_xact_lock($1);

-- take_pending(since, batch)
-- What is committed and unsealed leaves audit_pending; what is not committed yet comes later.
SELECT id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many
FROM audit_take($1, $2);

-- insert_sealed(seqs, ids, ats, namespaces, actor_kinds, actor_ids, actor_names, addresses, request_ids, actions, resource_kinds, resource_ids, resource_names, job_ids, befores, afters, manies, prev_hashes, hashes, key_ids, macs)
-- A batch of entries in their places.
INSERT INTO audit_log (
    seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
)
SELECT
    seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before::json, after::json, many::json,
    prev_hash, hash, key_id, mac
FROM unnest(
    $1::bigint[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::uuid[],
    $15::text[], $16::text[], $17::text[], $18::bytea[], $19::bytea[], $20::text[], $21::bytea[]
) AS e (
    seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
);

-- audit_marks()
-- Where the log begins and ends, by its marks.
SELECT name, seq, hash, key_id, mac FROM audit_marks;

-- put_audit_mark(name, seq, hash, key_id, mac)
-- Under the lock of the chain.
INSERT INTO audit_marks AS m (name, seq, hash, key_id, mac) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE
SET seq = excluded.seq, hash = excluded.hash, key_id = excluded.key_id, mac = excluded.mac;

-- last_sealed()
-- The newest entry of the log itself, to hold against the mark.
SELECT seq, hash, key_id, mac FROM audit_log ORDER BY seq DESC LIMIT 1;

-- prune_audit(older_than, batch)
-- From the beginning of the log only; how many went, and the last of them.
SELECT last_seq AS seq, last_hash AS hash, pruned FROM audit_prune($1, $2);

-- any_unsealed(since)
-- Asked by every replica each second, before anything is locked.
SELECT EXISTS (SELECT FROM audit_pending WHERE at >= $1);

-- oldest_unsealed()
-- Since when something waits to be sealed.
SELECT at FROM audit_pending ORDER BY at, id LIMIT 1;

-- walk_audit(after, batch)
-- The log in the order of the chain.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE seq > $1
ORDER BY seq
LIMIT $2;

-- audit_with_hash(hash)
-- Reads the whole log: asked once, to say what became of an entry that is not in its place.
SELECT seq, id, at, namespace, actor_kind, actor_id, actor_name, address, request_id, action,
    resource_kind, resource_id, resource_name, job_id, before, after, many, prev_hash, hash,
    key_id, mac
FROM audit_log
WHERE hash = $1
ORDER BY seq
LIMIT 2;
