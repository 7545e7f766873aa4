-- migrate: no transaction
-- migrate: compatible from 11
-- jobs_ended takes its place.
DROP INDEX CONCURRENTLY IF EXISTS jobs_spent;
