-- migrate: compatible from 11
-- What happened lately, for those who watch: the stream of events.

-- Unlogged, and no part of any guarantee: history is in runs. A crash of the server empties it, and
-- a standby has none. Ids come from event_ids under the advisory lock of insert_events, so that they
-- become visible in their order: who has read up to one has missed none below it.
CREATE UNLOGGED TABLE events (
    id            bigint      PRIMARY KEY,
    namespace     text        NOT NULL,
    name          text        NOT NULL,
    subject       uuid        NOT NULL,
    job_id        uuid        NOT NULL,
    status        text        NOT NULL,
    scheduled_for timestamptz,
    at            timestamptz NOT NULL
);

-- Logged, unlike a sequence that the table would own: no id comes twice, also after a crash.
CREATE SEQUENCE event_ids;

-- One row at most: until when somebody watches. Replicas write no events when nobody does.
CREATE TABLE event_interest (
    one   boolean     PRIMARY KEY DEFAULT true CHECK (one),
    until timestamptz NOT NULL
);
