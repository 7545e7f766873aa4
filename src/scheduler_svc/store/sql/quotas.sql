-- Quotas of namespaces: what is counted, and under which lock.

-- lock_creates(lock)
-- Creates of a namespace with a quota of jobs go one after the other, so that what each counts is
-- what there is. An advisory lock, for a namespace may go by defaults and have no row. Those of a
-- namespace without a quota never take it.
SELECT pg_advisory_xact_lock($1);

-- count_jobs(namespace, at_most)
-- Through jobs_list_created, and no further than the answer matters.
SELECT count(*) FROM (SELECT FROM jobs WHERE namespace = $1 LIMIT $2) AS found;
