-- Named secrets, secrets that sign, identity keys, and sealing anew. Values are sealed text here.

-- put_secret(namespace, name, sealed, now)
-- A secret is made or replaced by its name; xmax is 0 only where the row is new.
INSERT INTO secrets (namespace, name, sealed, created_at, updated_at)
VALUES ($1, $2, $3, $4, $4)
ON CONFLICT (namespace, name) DO UPDATE SET sealed = $3, updated_at = $4
RETURNING xmax = 0 AS made, created_at, updated_at;

-- count_secrets(namespace, but_not)
-- A namespace has a bounded number of secrets.
SELECT count(*) FROM secrets WHERE namespace = $1 AND name <> $2;

-- list_secrets(namespace, after, at_most)
-- A page of names: values leave by no list.
SELECT name, created_at, updated_at FROM secrets
WHERE namespace = $1 AND name > $2
ORDER BY name LIMIT $3;

-- find_secrets(namespace, names)
-- The sealed values that attempts of a job need, and what a value is compared with before it changes.
SELECT name, sealed, created_at, updated_at FROM secrets WHERE namespace = $1 AND name = ANY ($2::text[]);

-- delete_secret(namespace, name)
-- Runs that still ask for it end `blocked`.
DELETE FROM secrets WHERE namespace = $1 AND name = $2 RETURNING name;

-- insert_signing_secret(id, namespace, name, type, host, hint, sealed, public_key, created_at)
-- A secret signs from the moment that it is there.
INSERT INTO signing_secrets (
    id, namespace, name, type, host, hint, sealed, public_key, created_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- list_signing_secrets(namespace, before, before_id, now, at_most)
-- A page of those that sign, newest first.
SELECT id, name, type, host, hint, public_key, created_at, expires_at FROM signing_secrets
WHERE namespace = $1 AND (created_at, id) < ($2, $3) AND (expires_at IS NULL OR expires_at > $4)
ORDER BY created_at DESC, id DESC LIMIT $5;

-- signing_secrets_of(namespace, now)
-- All that sign for a namespace; their number is bounded.
SELECT id, type, host, sealed, expires_at FROM signing_secrets
WHERE namespace = $1 AND (expires_at IS NULL OR expires_at > $2)
ORDER BY created_at DESC, id DESC;

-- signing_hosts(namespace, now)
-- For which hosts a namespace signs, null being all.
SELECT DISTINCT host FROM signing_secrets
WHERE namespace = $1 AND (expires_at IS NULL OR expires_at > $2);

-- expire_signing_secret(namespace, id, expires_at, now)
-- A rotation's old secret signs a while longer; asked again, its end moves.
UPDATE signing_secrets SET expires_at = $3
WHERE namespace = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $4)
RETURNING id, name, type, host, hint, public_key, created_at, expires_at;

-- delete_signing_secret(namespace, id, now)
-- It signs no more, from now on.
DELETE FROM signing_secrets
WHERE namespace = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)
RETURNING id;

-- prune_signing_secrets(namespace, now)
-- What has expired signs nothing; its sealed value has no more use.
DELETE FROM signing_secrets WHERE namespace = $1 AND expires_at <= $2;

-- public_signing_keys(now)
-- The public halves, of every namespace, for receivers; read without credentials.
SELECT id, public_key FROM signing_secrets
WHERE type = 'ed25519' AND (expires_at IS NULL OR expires_at > $1)
ORDER BY created_at DESC, id DESC LIMIT 1000;

-- insert_identity_key(id, sealed, public_key, created_at)
-- The first of several replicas that try makes the key.
INSERT INTO identity_keys (id, sealed, public_key, created_at)
VALUES ($1, $2, $3::json, $4)
ON CONFLICT DO NOTHING;

-- identity_signing_key()
-- The key that signs, served by identity_keys_signing.
SELECT id, sealed FROM identity_keys WHERE retired_at IS NULL;

-- identity_public_keys(since)
-- What verifies tokens that may still be about.
SELECT public_key FROM identity_keys
WHERE retired_at IS NULL OR retired_at > $1
ORDER BY created_at DESC;

-- retire_identity_key(now)
-- The key signs no more; it is published a while longer.
UPDATE identity_keys SET retired_at = $1 WHERE retired_at IS NULL;

-- prune_identity_keys(since)
-- No token of these is valid any more.
DELETE FROM identity_keys WHERE retired_at <= $1;

-- secrets_to_reseal(namespace, name, at_most)
-- A batch by key, held until it is written.
SELECT namespace, name, sealed FROM secrets
WHERE (namespace, name) > ($1, $2)
ORDER BY namespace, name LIMIT $3 FOR UPDATE;

-- reseal_secret(namespace, name, sealed)
-- The same value under another key: it was not updated.
UPDATE secrets SET sealed = $3 WHERE namespace = $1 AND name = $2;

-- signing_secrets_to_reseal(id, at_most)
-- A batch by key, held until it is written.
SELECT id, namespace, sealed FROM signing_secrets WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE;

-- reseal_signing_secret(id, sealed)
-- The same secret under another key.
UPDATE signing_secrets SET sealed = $2 WHERE id = $1;

-- identity_keys_to_reseal(id, at_most)
-- A batch by key, held until it is written.
SELECT id, sealed FROM identity_keys WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE;

-- reseal_identity_key(id, sealed)
-- The same key under another key.
UPDATE identity_keys SET sealed = $2 WHERE id = $1;

-- jobs_to_look_at(id, at_most)
-- A page of definitions to look for secrets in, without locks: most have none.
SELECT id, namespace, definition FROM jobs WHERE id > $1 ORDER BY id LIMIT $2;

-- lock_timers_to_reseal(ids)
-- As every change of a job: its timer first, so that no edit writes what it read before.
SELECT job_id FROM job_timers WHERE job_id = ANY ($1::uuid[]) ORDER BY job_id FOR UPDATE;

-- jobs_to_reseal(ids)
-- Read again under the locks.
SELECT id, namespace, definition FROM jobs WHERE id = ANY ($1::uuid[]);

-- reseal_job(id, definition)
-- The same definition: revision and updated_at stay.
UPDATE jobs SET definition = $2::json WHERE id = $1;

-- runs_to_reseal(scheduled_for, id, at_most)
-- A page of runs with overrides, which are written once and never change but here.
SELECT id, scheduled_for, namespace, job_id, overrides FROM runs
WHERE (scheduled_for, id) > ($1, $2) AND overrides IS NOT NULL
ORDER BY scheduled_for, id LIMIT $3;

-- reseal_run(scheduled_for, id, overrides)
-- The same overrides under another key.
UPDATE runs SET overrides = $3::json WHERE scheduled_for = $1 AND id = $2;
