-- Serves lock_spent_jobs: completed jobs that are to be deleted once none of their runs is unfinished.
CREATE INDEX jobs_spent ON jobs (id)
    WHERE state = 'completed' AND definition ->> 'delete_after_completion' = 'true';
