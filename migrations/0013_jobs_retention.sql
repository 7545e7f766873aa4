-- migrate: no transaction
-- migrate: compatible from 11
-- Serves asked_ages and jobs_with_retention: jobs that keep their history otherwise than all.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_retention ON jobs (id)
    WHERE definition ->> 'retention' IS NOT NULL;
