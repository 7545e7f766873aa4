-- Secrets at rest: named secrets, secrets that sign, and the keys of identity tokens. What is secret
-- in these tables is sealed by the service (AES-256-GCM) before it comes here; the key ring never does.
-- Lock order: none of these is locked together with job_timers, jobs, backfills or runs.

-- One row a named secret of a namespace; its primary key serves all that reads it.
CREATE TABLE secrets (
    namespace  text        NOT NULL,
    name       text        COLLATE "C" NOT NULL,
    sealed     text        NOT NULL CHECK (sealed LIKE 'sealed:v1:%'),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (namespace, name)
);

-- One row a secret that signs requests. host limits it to one target host; public_key is the
-- asymmetric kind's. It signs until expires_at, for ever where that is null.
CREATE TABLE signing_secrets (
    id         uuid        PRIMARY KEY,
    namespace  text        NOT NULL,
    name       text,
    type       text        NOT NULL CHECK (type IN ('hmac', 'ed25519')),
    host       text,
    hint       text        NOT NULL,
    sealed     text        NOT NULL CHECK (sealed LIKE 'sealed:v1:%'),
    public_key text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    CHECK ((type = 'ed25519') = (public_key IS NOT NULL))
);

-- Serves the list, newest first, and signing_secrets_of.
CREATE INDEX signing_secrets_list ON signing_secrets (namespace, created_at DESC, id DESC);

-- One row a key that signs identity tokens; id is its `kid`, public_key its JWK. The one that is not
-- retired signs; retired ones are published until the last token that they signed has expired.
CREATE TABLE identity_keys (
    id         text        PRIMARY KEY,
    sealed     text        NOT NULL CHECK (sealed LIKE 'sealed:v1:%'),
    public_key json        NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);

-- At most one signs, whoever made it.
CREATE UNIQUE INDEX identity_keys_signing ON identity_keys ((true)) WHERE retired_at IS NULL;
