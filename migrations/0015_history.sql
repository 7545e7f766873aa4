-- migrate: compatible from 11
-- History that goes: what became of days that are archived, and up to where a job's runs were pruned.

-- One row a day that is written to a file, or was. While it is, the replica that holds the lease
-- alone goes on with it, and after_at and after_id are the last run that is in the file. Locked
-- alone.
CREATE TABLE archives (
    day         date        PRIMARY KEY,
    state       text        NOT NULL CHECK (state IN ('copying', 'sealed', 'archived')),
    replica     uuid        NOT NULL,
    lease_until timestamptz NOT NULL,
    file        text,
    sha256      text,
    runs        bigint      NOT NULL DEFAULT 0,
    bytes       bigint      NOT NULL DEFAULT 0,
    plain_bytes bigint      NOT NULL DEFAULT 0,
    after_at    timestamptz,
    after_id    uuid,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((after_at IS NULL) = (after_id IS NULL)),
    CHECK (state = 'copying' OR (file IS NOT NULL AND sha256 IS NOT NULL)),
    CHECK ((state = 'archived') = (finished_at IS NOT NULL))
);

-- One row a job of which runs were deleted by row: none of its ended runs before this instant need be
-- there. Explain answers by it. Locked after runs.
CREATE TABLE history_marks (
    job_id        uuid        PRIMARY KEY,
    pruned_before timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Duties of which one replica does each now and then, whoever comes first. Locked alone.
CREATE TABLE turns (
    name   text        PRIMARY KEY,
    until  timestamptz NOT NULL
) WITH (fillfactor = 50);
