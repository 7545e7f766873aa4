-- migrate: compatible from 11
-- The audit log: who changed what, when, from where, by which request. Entries are written unsealed in
-- the transaction of the change; upkeep moves them, within about a second, to the sealed log, where
-- each holds a hash of itself and of the one before. Nothing here is ever updated.

-- What has happened and is not sealed yet: only added to, without a lock that writers would share.
CREATE TABLE audit_pending (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    namespace     text        NOT NULL,
    actor_kind    text        NOT NULL,
    actor_id      text        NOT NULL,
    actor_name    text,
    address       text,
    request_id    text,
    action        text        NOT NULL,
    resource_kind text        NOT NULL,
    resource_id   text,
    resource_name text,
    job_id        uuid,
    before        json,
    after         json,
    many          json
);

-- Serves audit_take and oldest_unsealed.
CREATE INDEX audit_pending_age ON audit_pending (at, id);

-- seq is given out when an entry is sealed, so a transaction that commits late is only later in line.
-- hash is over all fields and prev_hash; mac is a code over it under a key that is not in the database.
CREATE TABLE audit_log (
    seq           bigint      PRIMARY KEY,
    id            uuid        NOT NULL,
    at            timestamptz NOT NULL,
    namespace     text        NOT NULL,
    actor_kind    text        NOT NULL,
    actor_id      text        NOT NULL,
    actor_name    text,
    address       text,
    request_id    text,
    action        text        NOT NULL,
    resource_kind text        NOT NULL,
    resource_id   text,
    resource_name text,
    job_id        uuid,
    before        json,
    after         json,
    many          json,
    prev_hash     bytea       NOT NULL CHECK (length(prev_hash) = 32),
    hash          bytea       NOT NULL CHECK (length(hash) = 32),
    key_id        text,
    mac           bytea,
    CHECK ((key_id IS NULL) = (mac IS NULL))
);

-- Each serves the list of that name: newest first, by what most narrows it.
CREATE INDEX audit_log_all ON audit_log (at DESC, seq DESC);
CREATE INDEX audit_log_namespace ON audit_log (namespace, at DESC, seq DESC);
CREATE INDEX audit_log_action ON audit_log (action, at DESC, seq DESC);
CREATE INDEX audit_log_actor ON audit_log (actor_id, at DESC, seq DESC);
CREATE INDEX audit_log_resource ON audit_log (resource_id, at DESC, seq DESC);
CREATE INDEX audit_log_job ON audit_log (job_id, at DESC, seq DESC) WHERE job_id IS NOT NULL;
CREATE INDEX audit_log_request ON audit_log (request_id) WHERE request_id IS NOT NULL;

-- Where the log begins and ends: `start` is the last entry that was pruned, `head` the newest one.
CREATE TABLE audit_marks (
    name   text   PRIMARY KEY CHECK (name IN ('start', 'head')),
    seq    bigint NOT NULL CHECK (seq >= 0),
    hash   bytea  NOT NULL CHECK (length(hash) = 32),
    key_id text,
    mac    bytea
);

CREATE FUNCTION audit_append_only() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' AND current_setting('scheduler.audit', true) = 'upkeep' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_pending_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_pending
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_log_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only();

-- The two ways in which rows go: to be sealed, and when they are older than the retention. The
-- caller holds the lock of the chain. The setting is taken back at once: no other statement of the
-- transaction may do it. (A SET clause of the functions would need a superuser.)
CREATE FUNCTION audit_take(since timestamptz, batch integer) RETURNS SETOF audit_pending
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('scheduler.audit', 'upkeep', true);
    RETURN QUERY
    WITH old AS MATERIALIZED (
        SELECT p.ctid FROM audit_pending AS p
        WHERE p.at >= since
        ORDER BY p.at, p.id LIMIT batch
        FOR UPDATE
    )
    DELETE FROM audit_pending AS p USING old WHERE p.ctid = old.ctid
    RETURNING p.*;
    PERFORM set_config('scheduler.audit', '', true);
END
$$;

-- Only from the beginning, without a gap; says how many went, and the last of them.
CREATE FUNCTION audit_prune(older_than timestamptz, batch integer)
RETURNS TABLE (last_seq bigint, last_hash bytea, pruned integer)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('scheduler.audit', 'upkeep', true);
    RETURN QUERY
    WITH gone AS (
        DELETE FROM audit_log AS l
        WHERE l.seq < (
            SELECT coalesce(min(o.seq) FILTER (WHERE o.at >= older_than), max(o.seq) + 1)
            FROM (SELECT a.seq, a.at FROM audit_log AS a ORDER BY a.seq LIMIT batch) AS o
        )
        RETURNING l.seq, l.hash
    )
    SELECT g.seq, g.hash, (count(*) OVER ())::integer FROM gone AS g ORDER BY g.seq DESC LIMIT 1;
    PERFORM set_config('scheduler.audit', '', true);
END
$$;
