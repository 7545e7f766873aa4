-- What applications asked for in their own transactions (migrations: sql_functions), and no replica
-- has carried out yet.

-- any_sql_request()
-- Asked before anything is locked: nearly always nothing waits.
SELECT EXISTS (SELECT FROM sql_requests);

-- lock_sql_requests(lock)
-- One replica carries out what waits, in its order; the others need not wait for it.
SELECT pg_try_advisory_xact_lock($1);

-- oldest_sql_requests(batch, besides)
-- In the order in which they were made: a trigger comes after the create of its job. Without those of
-- jobs that somebody holds locked for the moment.
SELECT id, verb, namespace, job_id, job_name, run_id, asked_at, role, address,
    document::text AS document
FROM sql_requests
WHERE NOT job_id = ANY ($2::uuid[])
ORDER BY id
LIMIT $1;

-- wait_briefly()
-- Whoever holds a job locked holds up that job, and not whatever was asked for after it.
SELECT set_config('lock_timeout', '250ms', true);

-- backlog_of_sql_requests(most)
-- For the metrics, at a scrape: how many wait, and since when. In the order of the key, so that no
-- more is read than is counted.
SELECT count(*) AS waiting, min(asked_at) AS since FROM (
    SELECT asked_at FROM sql_requests ORDER BY id LIMIT $1
) AS r;

-- delete_sql_requests(ids)
-- In the transaction of what they came to.
DELETE FROM sql_requests WHERE id = ANY ($1::bigint[]);

-- insert_unsent_run(id, scheduled_for, job_id, job_name, namespace, status, reason, now)
-- A trigger that came to nothing: the id that its caller has names a run all the same.
INSERT INTO runs (
    id, scheduled_for, job_id, job_name, namespace, trigger, status, reason, finished_at
)
VALUES ($1, $2, $3, $4, $5, 'manual', $6, $7, $8);
