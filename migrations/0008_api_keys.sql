-- API keys: who may call this service, for which namespace, and for what. Nothing here opens anything:
-- of a key only its SHA-256 is stored. Locked alone.

-- `namespace` is '*' for all of them. `prefix` is the part of a key that is shown again.
CREATE TABLE api_keys (
    id           uuid        PRIMARY KEY,
    name         text        NOT NULL,
    prefix       text        NOT NULL,
    hash         bytea       NOT NULL CHECK (length(hash) = 32),
    namespace    text        NOT NULL,
    scopes       text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    cidrs        text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text,
    expires_at   timestamptz,
    last_used_at timestamptz
);

-- Serves find_api_key.
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
-- Serves list_api_keys.
CREATE INDEX api_keys_list ON api_keys (created_at DESC, id DESC);
