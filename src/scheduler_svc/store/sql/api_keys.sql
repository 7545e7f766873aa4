-- API keys: of each only its digest is known.

-- insert_api_key(id, name, prefix, hash, namespace, scopes, cidrs, created_at, created_by, expires_at)
-- The key itself is told once, by the answer.
INSERT INTO api_keys (
    id, name, prefix, hash, namespace, scopes, cidrs, created_at, created_by, expires_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- find_api_key(hash)
-- By digest, through api_keys_hash: what a caller can vary is the digest of a guess, and says nothing
-- about how near the guess was.
SELECT
    id, name, prefix, namespace, scopes, cidrs, created_at, created_by, expires_at, last_used_at,
    hash
FROM api_keys
WHERE hash = $1;

-- get_api_key(id, namespace)
-- A key that its reader may see: those of one namespace, or with '*' all.
SELECT
    id, name, prefix, namespace, scopes, cidrs, created_at, created_by, expires_at, last_used_at
FROM api_keys
WHERE id = $1 AND (namespace = $2 OR $2 = '*');

-- list_api_keys(namespace, before, before_id, at_most)
-- Newest first, through api_keys_list.
SELECT
    id, name, prefix, namespace, scopes, cidrs, created_at, created_by, expires_at, last_used_at
FROM api_keys
WHERE (namespace = $1 OR $1 = '*') AND (created_at, id) < ($2, $3)
ORDER BY created_at DESC, id DESC
LIMIT $4;

-- touch_api_key(id, now, before)
-- Noted once in a while, not at each request.
UPDATE api_keys SET last_used_at = $2
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3);

-- expire_api_key(id, at)
-- The old key of a rotation goes on until then, or ends earlier where it would have anyway.
UPDATE api_keys SET expires_at = least(coalesce(expires_at, $2), $2) WHERE id = $1;

-- delete_api_key(id, namespace)
-- A revoked key is gone: there is nothing left that could be mistaken for a valid one.
DELETE FROM api_keys WHERE id = $1 AND (namespace = $2 OR $2 = '*') RETURNING id;

-- any_api_key(now)
-- Whether there is a key at all that opens anything.
SELECT EXISTS (SELECT FROM api_keys WHERE expires_at IS NULL OR expires_at > $1);
