-- migrate: no transaction
-- migrate: compatible from 11
-- Serves lock_spent_jobs: completed jobs that are to be deleted once none of their runs is unfinished,
-- and few others that have the words in a body. It takes the definition for text: PostgreSQL reads no
-- JSON that has a NUL somewhere, and an index that can not be written keeps such a job from completing.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_ended ON jobs (id)
    WHERE state = 'completed' AND strpos(definition::text, '"delete_after_completion":true') > 0;
