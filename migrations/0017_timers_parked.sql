-- migrate: compatible from 11
-- migrate: no transaction
-- The timers that are parked in holds, found by their job.

-- Serves unpark_timers and held_left: no row is in it while nothing is held.
CREATE INDEX CONCURRENTLY job_timers_parked ON job_timers (job_id)
    WHERE fire_at IS NULL AND scheduled_for IS NOT NULL;
