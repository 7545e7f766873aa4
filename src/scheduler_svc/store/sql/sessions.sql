-- Sessions: of each only the digest of its token is known.

-- insert_session(hash, credential, created_at, expires_at)
-- The token itself is told once, by the cookie.
INSERT INTO sessions (hash, credential, created_at, used_at, expires_at)
VALUES ($1, $2, $3, $3, $4);

-- find_session(hash)
-- By digest: what a caller can vary says nothing about how near a guess was.
SELECT hash, credential, used_at, expires_at FROM sessions WHERE hash = $1;

-- touch_session(hash, now, before)
-- Noted once in a while, not at each request.
UPDATE sessions SET used_at = $2 WHERE hash = $1 AND used_at < $3;

-- delete_session(hash)
-- Whoever logs out leaves nothing behind.
DELETE FROM sessions WHERE hash = $1;

-- prune_sessions(before, at_most)
-- Those that are over for a while, through sessions_expires, a batch at a time.
WITH old AS MATERIALIZED (
    SELECT hash FROM sessions
    WHERE expires_at < $1
    ORDER BY expires_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM sessions AS s USING old WHERE s.hash = old.hash;
