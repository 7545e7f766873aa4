-- migrate: compatible from 11
-- migrate: by partition
-- Upkeep asks every ten seconds which runs wait behind another. Without an index of its own it read
-- all that became unfinished since the last vacuum of the day: 100 milliseconds at 1,000 fires a
-- second. Hardly any run waits, so this one is nearly empty and costs a fire next to nothing.
CREATE INDEX runs_queued ON runs (job_id) WHERE status = 'due' AND queued AND NOT held;
