-- migrate: no transaction
-- migrate: compatible from 11
-- Serves asked_ages and any_retention: jobs that keep their history otherwise than all, and few others
-- that have the word. To look for it costs a fifth of reading the definition, at each insert of a job.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_retention ON jobs (id)
    WHERE strpos(definition::text, '"retention":') > 0;
