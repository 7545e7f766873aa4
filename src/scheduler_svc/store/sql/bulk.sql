-- Many jobs in one statement. Rows come as arrays, one a column.

-- lock_bulk(lock)
-- One bulk create at a time in a namespace: two that name the same jobs in another order would else
-- wait for each other.
SELECT pg_advisory_xact_lock($1);

-- insert_jobs(namespace, created_at, versions, ids, names, descriptions, labels, definitions, states, scheduled_fors, fire_ats, instants, refresh_ats)
-- Jobs with their timers and expectations appear together; one whose name is taken is left out.
-- Columns come as one text each, and instants as epoch milliseconds, so that writing them costs the
-- driver little; but a description may hold any character.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(
        string_to_array($4, ',')::uuid[], string_to_array($5, U&'\001e', ''), $6::text[],
        string_to_array($7, U&'\001e'), string_to_array($8, U&'\001e'),
        string_to_array($9, U&'\001e'), string_to_array($10, ',', '')::bigint[],
        string_to_array($11, ',', '')::bigint[], string_to_array($12, U&'\001e'),
        string_to_array($13, ',', '')::bigint[]
    ) AS g (
        id, name, description, labels, definition, state, scheduled_for, fire_at, instants,
        refresh_at
    )
),
made AS (
    INSERT INTO jobs (
        id, namespace, name, description, labels, definition, state, revision, created_at,
        updated_at
    )
    SELECT id, $1, name, description, labels::jsonb, definition::json, state, 1, $2, $2 FROM given
    ON CONFLICT DO NOTHING
    RETURNING id
),
timers AS (
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT
        g.id, timestamptz 'epoch' + g.scheduled_for * interval '1 millisecond',
        timestamptz 'epoch' + g.fire_at * interval '1 millisecond', 1
    FROM given AS g
    JOIN made AS m ON m.id = g.id
),
expectations AS (
    INSERT INTO job_expectations (job_id, versions, instants, refresh_at)
    SELECT
        g.id, $3, g.instants::timestamptz[],
        timestamptz 'epoch' + g.refresh_at * interval '1 millisecond'
    FROM given AS g
    JOIN made AS m ON m.id = g.id
)
SELECT id FROM made;

-- matching_jobs(namespace, at_most, state, labels, name_from, name_to, q)
-- The ids of what a list with the same filter would show; planned afresh, as the lists are.
SELECT j.id
FROM jobs AS j
WHERE j.namespace = $1
    AND ($3::text IS NULL OR j.state = $3)
    AND ($4::jsonb IS NULL OR j.labels @> $4)
    AND ($5::text IS NULL
        OR (j.name COLLATE "C" >= $5 AND j.name COLLATE "C" < $6))
    AND ($7::text IS NULL
        OR strpos(coalesce(j.name, ''), $7) > 0 OR strpos(j.description, $7) > 0)
LIMIT $2;

-- get_jobs(namespace, job_ids)
-- Jobs whose timers this transaction holds.
SELECT
    j.id, j.namespace, j.definition, j.state, j.pause, j.revision, j.created_at, j.updated_at,
    CASE j.state WHEN 'active' THEN t.fire_at END AS next_fire_at, t.scheduled_for, t.runs_made
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.id = ANY ($2::uuid[]) AND j.namespace = $1
ORDER BY j.id;

-- unsent_of(job_ids, now)
-- What unsent_occurrences asks for one, for many.
SELECT job_id, id, scheduled_for, status
FROM runs
WHERE job_id = ANY ($1::uuid[]) AND trigger = 'schedule' AND next_attempt_at > $2 AND NOT queued
    AND (
        (status = 'due' AND attempt_count = 0)
        OR (status = 'running' AND attempt_count = 1 AND lost_count = 0)
    )
    AND (deferral ->> 'reason' = 'quota' AND (deferral ->> 'since')::timestamptz <= $2) IS NOT TRUE
ORDER BY job_id, scheduled_for;

-- last_occurrences(job_ids, afters, until)
-- What last_occurrence asks for one, for many.
SELECT a.job_id, max(coalesce(r.scheduled_until, r.scheduled_for)) AS last
FROM unnest($1::uuid[], $2::timestamptz[]) AS a (job_id, after)
JOIN runs AS r ON r.job_id = a.job_id AND r.scheduled_for > a.after AND r.scheduled_for <= $3
WHERE r.trigger IN ('schedule', 'catch_up')
GROUP BY a.job_id;

-- change_states(job_ids, states, pauses, revisions, now)
-- Jobs whose state an action changes; their definitions stay, their timers learn the revision.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[])
        AS g (id, state, pause, revision)
),
timers AS (
    UPDATE job_timers AS t SET revision = g.revision FROM given AS g WHERE t.job_id = g.id
)
UPDATE jobs AS j
SET state = g.state, pause = g.pause::json, revision = g.revision, updated_at = $5
FROM given AS g
WHERE j.id = g.id;

-- delete_jobs(job_ids)
-- Their timers go with them; history stays until it is pruned.
DELETE FROM jobs WHERE id = ANY ($1::uuid[]);

-- cancel_due_runs_of(job_ids, reason, now)
-- What was waiting of deleted jobs ends; alerts of them are still sent.
UPDATE runs
SET status = 'cancelled', reason = $2, finished_at = $3, next_attempt_at = NULL
WHERE job_id = ANY ($1::uuid[]) AND status = 'due' AND trigger <> 'alert';

-- forget_unsent_of(job_ids, now)
-- What forget_unsent does for one, for many.
DELETE FROM runs
WHERE job_id = ANY ($1::uuid[]) AND status = 'due' AND attempt_count = 0 AND trigger = 'schedule'
    AND next_attempt_at > $2 AND NOT queued
    AND (deferral ->> 'reason' = 'quota' AND (deferral ->> 'since')::timestamptz <= $2) IS NOT TRUE;

-- insert_runs(namespace, due_at, ids, job_ids, job_names, priorities, queued)
-- Triggers of many jobs: one run each, due at once.
INSERT INTO runs (
    id, scheduled_for, job_id, job_name, namespace, trigger, status, priority, next_attempt_at,
    queued
)
SELECT n.id, $2, n.job_id, n.job_name, $1, 'manual', 'due', n.priority, $2, n.queued
FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::smallint[], $7::boolean[])
    AS n (id, job_id, job_name, priority, queued);

-- held_of(job_ids, now)
-- Whether a replica still holds an unsent run of any of these jobs.
SELECT EXISTS (
    SELECT FROM runs
    WHERE job_id = ANY ($1::uuid[]) AND status = 'running' AND next_attempt_at > $2
);
