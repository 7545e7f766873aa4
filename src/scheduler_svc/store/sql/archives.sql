-- What was written of days that go. Each statement names the replica, so that one which lost its lease
-- changes nothing.

-- claim_archive(day, replica, now, lease_until)
-- The day is this replica's, or was, or nobody's any more; nothing where another is at it.
INSERT INTO archives AS a (day, state, replica, lease_until, started_at)
VALUES ($1, 'copying', $2, $4, $3)
ON CONFLICT (day) DO UPDATE
SET replica = excluded.replica, lease_until = excluded.lease_until
WHERE a.replica = excluded.replica OR a.lease_until < $3
RETURNING state, file, sha256, runs, bytes, plain_bytes, after_at, after_id;

-- restart_archive(day, replica)
-- Its file is not here: begun anew.
UPDATE archives
SET state = 'copying', file = NULL, sha256 = NULL, runs = 0, bytes = 0, plain_bytes = 0,
    after_at = NULL, after_id = NULL, finished_at = NULL
WHERE day = $1 AND replica = $2
RETURNING day;

-- note_archive_page(day, replica, lease_until, runs, bytes, plain_bytes, after_at, after_id)
-- The page is on the disk; a crash before this writes it again, over itself.
UPDATE archives
SET lease_until = $3, runs = $4, bytes = $5, plain_bytes = $6, after_at = $7, after_id = $8
WHERE day = $1 AND replica = $2 AND state = 'copying'
RETURNING day;

-- seal_archive(day, replica, file, sha256)
-- The file is whole and was read back; what follows is naming it.
UPDATE archives SET state = 'sealed', file = $3, sha256 = $4
WHERE day = $1 AND replica = $2 AND state = 'copying'
RETURNING day;

-- end_archive(day, replica, now)
-- File and manifest are in their place: the day may go.
UPDATE archives SET state = 'archived', finished_at = $3, lease_until = $3
WHERE day = $1 AND replica = $2 AND state = 'sealed'
RETURNING day;

-- archived_file(day)
-- For explain: where a day that is gone was written to.
SELECT file FROM archives WHERE day = $1 AND state = 'archived';

-- columns_of(name)
-- Of a day that was taken off, in the order of its file.
SELECT attname AS name FROM pg_attribute
WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;
