-- Answers kept for requests that carry an Idempotency-Key: written in the transaction of the effect,
-- so that there are both or neither. Locked after all other tables; whoever writes a row holds the
-- advisory lock of its key since before the effect.

-- `request` is a digest of method, path, query and body: the same key with another request is refused.
CREATE TABLE idempotency_keys (
    namespace  text        NOT NULL,
    credential text        NOT NULL,
    key        text        NOT NULL,
    request    bytea       NOT NULL,
    status     smallint    NOT NULL CHECK (status BETWEEN 200 AND 299),
    headers    json        NOT NULL,
    media_type text        NOT NULL,
    body       bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, credential, key)
);

-- Serves prune_idempotency_keys.
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
