-- Reading from a standby: how far the primary has come, and how far the standby has followed.

-- written_up_to()
-- On the primary: whatever was committed and answered before this lies below it, in bytes of its log.
SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint;

-- replayed_up_to()
-- On the standby: what it shows. Null where it is none (any more): it may have gone its own way.
SELECT CASE WHEN pg_is_in_recovery()
    THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint
END;

-- cluster_of()
-- Which cluster this is: a standby shares it with its primary, and nobody else does.
SELECT system_identifier FROM pg_control_system();
