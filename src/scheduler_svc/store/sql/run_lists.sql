-- History, newest first. Planned afresh at each call (plan_afresh), so that the bounds leave out the
-- days they do not touch and a status that is given may use its partial index.

-- list_runs(namespace, before, before_id, at_most, since, until, status, trigger, replay_of)
-- All runs of a namespace: backward through the primary keys of the days, one day after the other.
-- Alerts are no runs of a job's own: they are listed where they are asked for.
SELECT
    id, job_id, job_name, namespace, trigger, scheduled_for, occurrences, scheduled_until, status,
    reason, attempt_count, replay_of, backfill_id, claimed_at, started_at, finished_at,
    lateness_ms, duration_ms, next_attempt_at, replica, attempts, replay_id, completion_until,
    completion_status, completion_detail, deferral
FROM runs
WHERE namespace = $1
    AND scheduled_for <= $2 AND (scheduled_for, id) < ($2, $3)
    AND scheduled_for >= $5 AND scheduled_for < $6
    AND ($7::text IS NULL OR status = $7)
    AND CASE WHEN $8::text IS NULL THEN trigger <> 'alert' ELSE trigger = $8 END
    AND ($9::uuid IS NULL OR replay_of = $9)
ORDER BY scheduled_for DESC, id DESC
LIMIT $4;

-- list_job_runs(namespace, before, before_id, at_most, since, until, status, trigger, replay_of, job_id)
-- The runs of one job, deleted or not: through runs_job.
SELECT
    id, job_id, job_name, namespace, trigger, scheduled_for, occurrences, scheduled_until, status,
    reason, attempt_count, replay_of, backfill_id, claimed_at, started_at, finished_at,
    lateness_ms, duration_ms, next_attempt_at, replica, attempts, replay_id, completion_until,
    completion_status, completion_detail, deferral
FROM runs
WHERE namespace = $1 AND job_id = $10
    AND scheduled_for <= $2 AND (scheduled_for, id) < ($2, $3)
    AND scheduled_for >= $5 AND scheduled_for < $6
    AND ($7::text IS NULL OR status = $7)
    AND CASE WHEN $8::text IS NULL THEN trigger <> 'alert' ELSE trigger = $8 END
    AND ($9::uuid IS NULL OR replay_of = $9)
ORDER BY scheduled_for DESC, id DESC
LIMIT $4;

-- last_occurrence(job_id, after, until)
-- How far a job's ledger goes within a range of its cadence. Serves resume: a run that left while
-- its job was being paused is not written twice.
SELECT max(coalesce(scheduled_until, scheduled_for))
FROM runs
WHERE job_id = $1 AND trigger IN ('schedule', 'catch_up')
    AND scheduled_for > $2 AND scheduled_for <= $3;
