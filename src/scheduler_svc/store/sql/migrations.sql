-- What the runner of migrations asks the catalog.

-- index_is_valid(index)
-- Null where there is none; false for what a concurrent build left behind when it was killed.
SELECT (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1::text));

-- partitions_without(parent, index)
-- Partitions whose index is not yet part of the parent's; the newest first, for they are asked most.
SELECT c.oid::regclass::text AS name
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1::text)
    AND NOT EXISTS (
        SELECT FROM pg_index AS x
        JOIN pg_inherits AS p ON p.inhrelid = x.indexrelid
        WHERE x.indrelid = c.oid AND p.inhparent = to_regclass($2::text)
    )
ORDER BY c.relname DESC;
