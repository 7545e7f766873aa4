-- What `doctor` asks: read-only, each by itself, so that one that is refused leaves the others.

-- begin_reading()
-- The server keeps this transaction from writing.
SET TRANSACTION READ ONLY;

-- server_settings()
-- Those that a promise of this service hangs on, as the server has them, and its version.
SELECT name, setting, unit, source FROM pg_settings
WHERE name IN (
    'server_version_num', 'fsync', 'synchronous_commit', 'full_page_writes', 'max_connections',
    'superuser_reserved_connections', 'reserved_connections', 'autovacuum', 'track_counts',
    'max_wal_size', 'shared_buffers', 'statement_timeout', 'lock_timeout',
    'idle_in_transaction_session_timeout', 'jit', 'data_directory', 'max_prepared_transactions',
    'autovacuum_naptime', 'old_snapshot_threshold', 'transaction_timeout', 'timezone'
);

-- connections_now()
-- How many there are of each kind, and whether this is still a server that may be written to.
SELECT
    count(*) FILTER (WHERE backend_type = 'client backend')::integer AS clients,
    count(*) FILTER (WHERE application_name LIKE 'scheduler-svc%')::integer AS ours,
    pg_is_in_recovery() AS recovering
FROM pg_stat_activity;

-- schema_of()
-- Whether this role owns what it must be able to make and drop.
SELECT c.relname AS name, pg_get_userbyid(c.relowner) AS owner, current_user AS me,
    pg_has_role(c.relowner, 'MEMBER') AS owned
FROM pg_class AS c WHERE c.oid = 'runs'::regclass;

-- our_indexes()
-- Every index on our tables: whether it can be used, and how often it was.
SELECT
    i.relname AS name, t.relname AS on_table, x.indisvalid AND x.indisready AS valid,
    x.indisprimary OR x.indisunique AS enforces, coalesce(s.idx_scan, 0) AS scans,
    pg_relation_size(i.oid) AS bytes, t.relispartition AS partition
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.oid
WHERE t.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'runs'::regclass)
ORDER BY i.relname;

-- our_tables()
-- Rows that are dead, and whether vacuum is let in.
SELECT
    c.relname AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
    s.last_autovacuum AS vacuumed_at, pg_relation_size(c.oid) AS bytes,
    coalesce('autovacuum_enabled=false' = ANY (c.reloptions), false)
        OR coalesce('autovacuum_enabled=off' = ANY (c.reloptions), false) AS vacuum_off
FROM pg_class AS c
JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind = 'r'
    AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'runs'::regclass)
ORDER BY c.relname;

-- old_transactions(seconds)
-- Sessions whose transaction or snapshot keeps vacuum from removing dead rows for so long.
SELECT pid, usename AS who, application_name AS application, state,
    extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_stat_activity
WHERE xact_start < clock_timestamp() - $1::float8 * interval '1 second'
    AND backend_type <> 'autovacuum worker'
    AND application_name NOT LIKE 'scheduler-svc doctor %' AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
ORDER BY xact_start
LIMIT 20;

-- replication_slots()
-- A slot that nobody reads keeps the log, and maybe dead rows, for ever.
SELECT slot_name AS name, active, coalesce(wal_status, '') AS wal_status,
    coalesce(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END, restart_lsn
    ), 0)::bigint AS behind
FROM pg_replication_slots ORDER BY slot_name;

-- prepared_transactions(seconds)
-- Prepared and forgotten: they hold their locks, and dead rows, over restarts.
SELECT gid, owner, extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
FROM pg_prepared_xacts
WHERE database = current_database()
    AND prepared < clock_timestamp() - $1::float8 * interval '1 second'
ORDER BY prepared
LIMIT 20;

-- oldest_transaction_id()
-- How near this database is to the end of transaction ids, in transactions.
SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database();

-- known_replicas()
-- All that have not been forgotten, with what they said last.
SELECT id, host, pid, version, tzdata, role, lease_until, clock_offset_ms FROM replicas
ORDER BY started_at, id;

-- overdue_timers(before, most)
-- Timers that nobody claimed, counted up to a bound along the index.
SELECT count(*), min(fire_at) FROM (
    SELECT fire_at FROM job_timers WHERE fire_at <= $1 ORDER BY fire_at, job_id LIMIT $2
) AS t;

-- old_sql_requests(before, most)
-- Asked for in SQL before an instant and not carried out, counted up to a bound; the oldest of them.
SELECT count(*), min(asked_at), (array_agg(job_id ORDER BY asked_at, id))[1] FROM (
    SELECT id, asked_at, job_id FROM sql_requests WHERE asked_at <= $1 ORDER BY id LIMIT $2
) AS r;

-- sealed_secrets(at_most)
-- The three tables of sealed values, without locks: which kind, where each stands, and the value.
SELECT 'named secret' AS kind, namespace, name, sealed FROM secrets
UNION ALL
SELECT 'signing secret', namespace, id::text, sealed FROM signing_secrets
UNION ALL
SELECT 'identity key', '', id, sealed FROM identity_keys
ORDER BY 1, 2, 3
LIMIT $1;

-- sealed_jobs(at_most)
-- Jobs with a sealed value in their definition; this reads every definition, so it is bounded.
SELECT id, namespace, definition FROM jobs
WHERE definition::text LIKE '%sealed:v1:%'
LIMIT $1;
