-- What the drift guard compares: the next instants of each job as they were last computed, and by
-- which versions of croniter, tzdata and our dialect. A table of its own, so that the timers, which
-- every fire touches, stay narrow.

CREATE TABLE job_expectations (
    job_id     uuid          PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    versions   text          NOT NULL,
    instants   timestamptz[] NOT NULL,
    refresh_at timestamptz
) WITH (fillfactor = 80);

-- Serves other_versions and expectations_under: what another version computed, by job.
CREATE INDEX job_expectations_versions ON job_expectations (versions, job_id);
-- Serves stale_expectations; what can not drift is never refreshed.
CREATE INDEX job_expectations_refresh ON job_expectations (refresh_at)
    WHERE refresh_at IS NOT NULL;

-- Serves covering_run: explain looks for the compact row whose range holds an instant.
CREATE INDEX runs_ranges ON runs (job_id, scheduled_for DESC) WHERE scheduled_until IS NOT NULL;
