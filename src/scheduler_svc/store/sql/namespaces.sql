-- Namespaces and their settings. Locked before all other tables; nobody locks two of them.

-- get_namespace(name)
-- By key; also what a job's target is judged by.
SELECT name, settings, revision, created_at, updated_at FROM namespaces WHERE name = $1;

-- lock_namespace(name)
-- For PUT: the revision may not change between the precondition and the write.
SELECT name, settings, revision, created_at, updated_at FROM namespaces WHERE name = $1 FOR UPDATE;

-- insert_namespace(name, settings, now)
-- Nothing where another request was quicker.
INSERT INTO namespaces (name, settings, revision, created_at, updated_at)
VALUES ($1, $2::json, 1, $3, $3)
ON CONFLICT (name) DO NOTHING
RETURNING name, settings, revision, created_at, updated_at;

-- update_namespace(name, settings, now)
-- Under the lock of the row.
UPDATE namespaces SET settings = $2::json, revision = revision + 1, updated_at = $3
WHERE name = $1
RETURNING name, settings, revision, created_at, updated_at;

-- list_namespaces(after, at_most)
-- By name, from behind the last of the page before; an empty text is before all.
SELECT name, settings, revision, created_at, updated_at FROM namespaces
WHERE name > $1
ORDER BY name
LIMIT $2;

-- namespaces_mark()
-- How many there are, and the sum of their revisions: one of the two differs after any change,
-- for rows are never removed.
SELECT count(*)::bigint, coalesce(sum(revision), 0)::bigint FROM namespaces;
