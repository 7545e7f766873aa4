-- Ended runs that go by row: whose history there is, from where on it goes, and what explain must know.

-- asked_ages()
-- The ages that jobs ask for, few though the jobs are many; through jobs_retention. PostgreSQL reads
-- no definition that has a NUL somewhere, in a body perhaps: it gets another character for it.
SELECT DISTINCT replace(definition::text, '\u0000', '\u0001')::json -> 'retention' ->> 'age' AS age
FROM jobs
WHERE strpos(definition::text, '"retention":') > 0;

-- any_retention()
-- Whether any job keeps its history otherwise than all; through jobs_retention.
SELECT EXISTS (
    SELECT 1 FROM jobs
    WHERE strpos(definition::text, '"retention":') > 0
        AND replace(definition::text, '\u0000', '\u0001')::json ->> 'retention' IS NOT NULL
);

-- histories(after, batch)
-- The next jobs that have any history, also deleted ones, each found by one look from the one before:
-- the rows of a job are never read. With what the job asks for, and its namespace.
WITH RECURSIVE walk AS (
    (
        SELECT job_id, namespace FROM runs WHERE job_id > $1 ORDER BY job_id LIMIT 1
    )
    UNION ALL
    SELECT n.job_id, n.namespace
    FROM walk AS w
    CROSS JOIN LATERAL (
        SELECT r.job_id, r.namespace FROM runs AS r
        WHERE r.job_id > w.job_id ORDER BY r.job_id LIMIT 1
    ) AS n
),
few AS MATERIALIZED (SELECT job_id, namespace FROM walk LIMIT $2)
SELECT f.job_id, f.namespace,
    CASE
        WHEN strpos(j.definition::text, '"retention":') > 0
            THEN replace(j.definition::text, '\u0000', '\u0001')::json ->> 'retention'
    END AS retention
FROM few AS f
LEFT JOIN jobs AS j ON j.id = f.job_id
ORDER BY f.job_id;

-- nth_newest(job_id, newest)
-- The first ended run behind so many newer ones: it and what is older goes. Alerts are not counted.
WITH few AS MATERIALIZED (
    SELECT scheduled_for, id FROM runs
    WHERE job_id = $1 AND status NOT IN ('due', 'running') AND trigger <> 'alert'
    ORDER BY scheduled_for DESC, id DESC
    LIMIT $2::integer + 1
)
SELECT scheduled_for, id FROM few
WHERE (SELECT count(*) FROM few) > $2
ORDER BY scheduled_for, id
LIMIT 1;

-- prune_runs(job_id, upto_at, upto_id, ended_before, batch)
-- Ended runs of a job up to a key, a batch of them, oldest first. A row that stands for a range goes
-- with its end. What somebody holds comes another time.
WITH old AS MATERIALIZED (
    SELECT scheduled_for, id FROM runs
    WHERE job_id = $1 AND scheduled_for <= $2 AND (scheduled_for, id) <= ($2, $3)
        AND status NOT IN ('due', 'running') AND finished_at < $4
        AND (scheduled_until IS NULL OR scheduled_until <= $2)
    ORDER BY scheduled_for, id
    LIMIT $5
    FOR UPDATE SKIP LOCKED
)
DELETE FROM runs AS r
USING old
WHERE old.id::text || '' = old.id::text -- one_row, see settle_runs
    AND r.scheduled_for = old.scheduled_for AND r.id = old.id;

-- mark_pruned(job_id, before)
-- In the transaction of the deletes, so that explain never takes for unknown what was pruned.
INSERT INTO history_marks (job_id, pruned_before) VALUES ($1, $2)
ON CONFLICT (job_id) DO UPDATE
SET pruned_before = excluded.pruned_before
WHERE history_marks.pruned_before < excluded.pruned_before;

-- pruned_before(job_id)
-- For explain.
SELECT pruned_before FROM history_marks WHERE job_id = $1;

-- forget_marks(before, batch)
-- What lies before the first day of all history needs no mark of its own.
WITH old AS MATERIALIZED (
    SELECT job_id FROM history_marks WHERE pruned_before <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM history_marks AS m USING old WHERE m.job_id = old.job_id;

-- replaying_namespaces()
-- Whose ended runs a running replay by filter may yet read: nothing of them is pruned by row.
SELECT DISTINCT namespace FROM replays WHERE status = 'running';

-- take_turn(name, now, until)
-- One replica does it, whoever comes first; the next may when the time is over.
INSERT INTO turns AS t (name, until) VALUES ($1, $3)
ON CONFLICT (name) DO UPDATE SET until = excluded.until WHERE t.until <= $2
RETURNING name;

-- large_indexes(day, least_bytes)
-- What takes an index off a day that was taken off, the largest first: of the primary key it is its
-- constraint.
SELECT
    CASE WHEN own.conname IS NULL THEN format('DROP INDEX %I', c.relname)
        ELSE format('ALTER TABLE %I DROP CONSTRAINT %I', $1::text, own.conname) END AS command
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint AS own ON own.conindid = c.oid AND own.contype IN ('p', 'u')
WHERE i.indrelid = to_regclass($1) AND pg_relation_size(c.oid) >= $2::bigint
ORDER BY pg_relation_size(c.oid) DESC;
