-- migrate: compatible from 11
-- Each change of a job leaves a dead row, and jobs of one instant are changed soon after they are
-- made. A fifth of a large table of jobs is too many to wait for; the timers beside it have the same
-- share since the beginning.
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.05);
