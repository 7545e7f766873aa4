-- migrate: compatible from 11
-- Holds: what keeps a namespace from firing after the database jumped back, or was away for long.

-- One row, kept by the replicas that claim: when one of them was last alive, and in which database.
-- A copy of the database remembers both, and so shows what it is. `line` is the server's timeline, `held_at` when
-- namespaces were held last.
CREATE TABLE continuity (
    one_row  boolean     PRIMARY KEY DEFAULT true CHECK (one_row),
    alive_at timestamptz NOT NULL,
    identity text,
    line     integer,
    held_at  timestamptz
);
-- A backup of an older schema is known by its last heartbeat.
INSERT INTO continuity (alive_at)
SELECT max(heartbeat_at) FROM replicas HAVING max(heartbeat_at) IS NOT NULL;

-- One row a namespace that is held, until all that was held of it is let go. `missed` is what was
-- decided, by whom it was asked, and when; `window_ms` is over how long catch-ups are spread.
CREATE TABLE holds (
    namespace  text        PRIMARY KEY,
    reason     text        NOT NULL CHECK (reason IN ('restored', 'outage')),
    since      timestamptz NOT NULL,
    alive_at   timestamptz,
    missed     text        CHECK (missed IN ('release', 'skip', 'once')),
    decided_at timestamptz,
    window_ms  bigint      NOT NULL DEFAULT 0 CHECK (window_ms >= 0),
    CHECK ((missed IS NULL) = (decided_at IS NULL))
);

-- A run that is held is `queued` too, which is what keeps it out of the way of the claim.
ALTER TABLE runs ADD COLUMN held boolean NOT NULL DEFAULT false;

-- A timer of a held namespace whose instant has come is parked: it keeps its occurrence and leaves
-- the index of the claim, so it has no fire_at.
ALTER TABLE job_timers DROP CONSTRAINT job_timers_check;
