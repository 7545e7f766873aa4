-- insert_job(id, namespace, name, description, labels, definition, state, revision, created_at, scheduled_for, fire_at, versions, instants, refresh_at, notice)
-- A job and its timer appear together, with what is expected of it, and the notice to the replicas
-- where there is one: in one statement, for a create is otherwise mostly round trips.
WITH job AS (
    INSERT INTO jobs (
        id, namespace, name, description, labels, definition, state, revision, created_at,
        updated_at
    )
    VALUES ($1, $2, $3, $4, $5::jsonb, $6::json, $7, $8, $9, $9)
    RETURNING id
),
timer AS (
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT job.id, $10, $11, $8 FROM job
),
expectation AS (
    INSERT INTO job_expectations (job_id, versions, instants, refresh_at)
    SELECT job.id, $12, $13::text::timestamptz[], $14 FROM job WHERE $12::text IS NOT NULL
)
SELECT pg_notify('scheduler', $15::text) FROM job WHERE $15::text IS NOT NULL;

-- find_job_id(namespace, name)
-- Served by jobs_name.
SELECT id FROM jobs WHERE namespace = $1 AND name = $2;

-- lock_timer(job_id)
-- Timers are locked before jobs, everywhere: what creates runs of a job is thereby in one queue.
SELECT scheduled_for, coalesce(fire_at, scheduled_for), runs_made
FROM job_timers WHERE job_id = $1 FOR UPDATE;

-- get_job(namespace, job_id)
-- One job with its next fire and its newest run, through the index on (job_id, scheduled_for). The
-- run is found by the parameter: for one job out of a list the planner plans anew at each call, which
-- costs ten times what the look-up does.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made,
    r.id AS last_id, r.status AS last_status, r.scheduled_for AS last_scheduled_for,
    r.finished_at AS last_finished_at
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
LEFT JOIN LATERAL (
    SELECT id, status, scheduled_for, finished_at FROM runs
    WHERE runs.job_id = $2 AND runs.trigger <> 'alert'
    ORDER BY scheduled_for DESC, id DESC LIMIT 1
) AS r ON true
WHERE j.namespace = $1 AND j.id = $2;

-- get_jobs_asked(namespaces, job_ids)
-- The same for several callers at once; place says whose it is. The arrays are hidden behind a
-- SELECT: the planner would else plan anew at each call, for as many rows as it sees in them.
SELECT
    asked.place,
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made,
    r.id AS last_id, r.status AS last_status, r.scheduled_for AS last_scheduled_for,
    r.finished_at AS last_finished_at
FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]))
    WITH ORDINALITY AS asked (namespace, id, place)
JOIN jobs AS j ON j.id = asked.id AND j.namespace = asked.namespace
JOIN job_timers AS t ON t.job_id = j.id
LEFT JOIN LATERAL (
    SELECT id, status, scheduled_for, finished_at FROM runs
    WHERE runs.job_id = j.id AND runs.trigger <> 'alert'
    ORDER BY scheduled_for DESC, id DESC LIMIT 1
) AS r ON true;

-- last_runs(job_ids)
-- The newest run of each job, through the index on (job_id, scheduled_for).
SELECT j.job_id, r.id, r.status, r.scheduled_for, r.finished_at
FROM unnest($1::uuid[]) AS j (job_id)
CROSS JOIN LATERAL (
    SELECT id, status, scheduled_for, finished_at FROM runs
    WHERE runs.job_id = j.job_id AND runs.trigger <> 'alert'
    ORDER BY scheduled_for DESC, id DESC LIMIT 1
) AS r;

-- update_job(job_id, name, description, labels, definition, state, pause, revision, updated_at)
-- The definition and the state move together with the revision.
UPDATE jobs
SET name = $2, description = $3, labels = $4::jsonb, definition = $5::json, state = $6,
    pause = $7::json, revision = $8, updated_at = $9
WHERE id = $1;

-- set_timer(job_id, scheduled_for, fire_at, revision)
-- An edit that changes when the job is due.
UPDATE job_timers SET scheduled_for = $2, fire_at = $3, revision = $4 WHERE job_id = $1;

-- set_timer_revision(job_id, revision)
-- An edit of other fields never moves the next occurrence (G7).
UPDATE job_timers SET revision = $2 WHERE job_id = $1;

-- delete_job(job_id)
-- The timer goes with it; history stays until it is pruned.
DELETE FROM jobs WHERE id = $1;

-- cancel_due_runs(job_id, reason, now)
-- What was waiting of a deleted job ends; alerts of it are still sent.
UPDATE runs
SET status = 'cancelled', reason = $2, finished_at = $3, next_attempt_at = NULL
WHERE job_id = $1 AND status = 'due' AND trigger <> 'alert'
RETURNING id;

-- forget_unsent(job_id, now)
-- Occurrences given back before their instant, never sent: an edit decides them anew. One whose
-- instant has come, and which waits for a minute of its namespace's quota, was decided already.
DELETE FROM runs
WHERE job_id = $1 AND status = 'due' AND attempt_count = 0 AND trigger = 'schedule'
    AND next_attempt_at > $2 AND NOT queued
    AND (deferral ->> 'reason' = 'quota' AND (deferral ->> 'since')::timestamptz <= $2) IS NOT TRUE;

-- held_runs(job_id, now)
-- Runs that a replica holds and has not sent, for their instant is still to come.
SELECT id, replica, next_attempt_at FROM runs
WHERE job_id = $1 AND status = 'running' AND next_attempt_at > $2;

-- unsent_occurrences(job_id, now)
-- Occurrences claimed ahead of their instant and not sent yet: a change of when their job is due
-- takes them back. As in forget_unsent, what waits for its minute is none of them.
SELECT id, scheduled_for, status
FROM runs
WHERE job_id = $1 AND trigger = 'schedule' AND next_attempt_at > $2 AND NOT queued
    AND (
        (status = 'due' AND attempt_count = 0)
        OR (status = 'running' AND attempt_count = 1 AND lost_count = 0)
    )
    AND (deferral ->> 'reason' = 'quota' AND (deferral ->> 'since')::timestamptz <= $2) IS NOT TRUE
ORDER BY scheduled_for;
