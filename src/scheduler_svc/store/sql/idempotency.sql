-- Answers kept under an Idempotency-Key.

-- lock_idempotency_key(lock)
-- Held from before the effect until the end of its transaction: the mark of a request in progress,
-- which ends with the session of its process. False where another transaction holds it.
SELECT pg_try_advisory_xact_lock($1);

-- find_idempotency_key(namespace, credential, key, since)
-- What was answered under this key since then.
SELECT request, status, headers, media_type, body
FROM idempotency_keys
WHERE namespace = $1 AND credential = $2 AND key = $3 AND created_at > $4;

-- keep_idempotency_key(namespace, credential, key, request, status, headers, media_type, body, now)
-- Under the lock of the key, and looked for before: what is there still is too old to count.
INSERT INTO idempotency_keys AS k (
    namespace, credential, key, request, status, headers, media_type, body, created_at
)
VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8, $9)
ON CONFLICT (namespace, credential, key) DO UPDATE
SET request = excluded.request, status = excluded.status, headers = excluded.headers,
    media_type = excluded.media_type, body = excluded.body, created_at = excluded.created_at;

-- prune_idempotency_keys(before, batch)
-- The oldest first, a batch at a time; a row that is written anew at this moment is left.
WITH old AS MATERIALIZED (
    SELECT namespace, credential, key FROM idempotency_keys
    WHERE created_at <= $1
    ORDER BY created_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys AS k
USING old
WHERE old.key || '' = old.key -- one_row, see settle_runs
    AND k.namespace = old.namespace AND k.credential = old.credential AND k.key = old.key
    AND k.created_at <= $1;
