-- migrate: compatible from 11
-- Sessions of people in a browser: each stands for the API key that it was begun with. Nothing here opens
-- anything: of a session's token, and of the key, only the SHA-256 is stored. Locked alone.

-- `credential` is the digest of the key, as in api_keys.hash, and refers to nothing there: the bootstrap
-- key is in no table, and a session whose key is gone opens nothing.
CREATE TABLE sessions (
    hash       bytea       PRIMARY KEY CHECK (length(hash) = 32),
    credential bytea       NOT NULL CHECK (length(credential) = 32),
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Serves prune_sessions.
CREATE INDEX sessions_expires ON sessions (expires_at);
