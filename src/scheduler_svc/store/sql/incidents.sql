-- What jobs with alerts or an auto-pause remember, and the alerts themselves: runs of their own.

-- lock_memories(job_ids)
-- In the order of their keys, so that two replicas that settle at once do not wait in a circle.
SELECT
    job_id, failures_in_row, outcomes, durations, incidents, last_started_at, quiet_from, watch_at
FROM job_incidents
WHERE job_id = ANY ($1::uuid[])
ORDER BY job_id
FOR UPDATE;

-- begin_memories(job_ids)
-- Of jobs that are there still: a delete that is under way is waited for.
INSERT INTO job_incidents (job_id)
SELECT id FROM jobs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR KEY SHARE
ON CONFLICT DO NOTHING;

-- write_memories(job_ids, failures_in_row, outcomes, durations, incidents, last_started_ats, quiet_froms, watch_ats)
-- `durations` and `incidents` are array literals, for an array of arrays would be taken apart.
UPDATE job_incidents AS i
SET failures_in_row = m.failures_in_row, outcomes = m.outcomes,
    durations = m.durations::bigint[], incidents = m.incidents::text[],
    last_started_at = m.last_started_at, quiet_from = m.quiet_from, watch_at = m.watch_at
FROM unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::timestamptz[],
    $7::timestamptz[], $8::timestamptz[]
) AS m (
    job_id, failures_in_row, outcomes, durations, incidents, last_started_at, quiet_from, watch_at
)
WHERE m.job_id::text || '' = m.job_id::text -- one_row, see settle_runs
    AND m.outcomes || '' = m.outcomes AND i.job_id = m.job_id;

-- watch_jobs(job_ids, quiet_froms, watch_ats)
-- Jobs were created or changed: from when on they are looked at. What they remember stays.
INSERT INTO job_incidents (job_id, quiet_from, watch_at)
SELECT job_id, quiet_from, watch_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS w (job_id, quiet_from, watch_at)
ON CONFLICT (job_id) DO UPDATE
SET quiet_from = excluded.quiet_from, watch_at = excluded.watch_at;

-- unwatch_jobs(job_ids)
-- They fire no more, or tell nobody.
UPDATE job_incidents SET quiet_from = NULL, watch_at = NULL
WHERE job_id = ANY ($1::uuid[]) AND watch_at IS NOT NULL;

-- lock_watched(now, batch)
-- Whose look has come, through job_incidents_watch; what another replica looks at is left to it.
SELECT
    job_id, failures_in_row, outcomes, durations, incidents, last_started_at, quiet_from, watch_at
FROM job_incidents
WHERE watch_at <= $1
ORDER BY watch_at
LIMIT $2
FOR UPDATE SKIP LOCKED;

-- watched_timers(job_ids)
-- Whether these jobs are active, and which occurrence of theirs nobody has claimed.
SELECT j.id, j.state, t.scheduled_for
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.id = ANY ($1::uuid[]);

-- occurrences_sent(ids, scheduled_fors)
-- What became of these occurrences, by key: whether each waits still, no attempt of it sent.
SELECT r.job_id, r.status = 'due' AND r.started_at IS NULL AS waits
FROM unnest($1::uuid[], $2::timestamptz[]) AS o (id, scheduled_for)
JOIN runs AS r ON r.scheduled_for = o.scheduled_for AND r.id = o.id
WHERE o.id::text || '' = o.id::text AND o.scheduled_for::text || '' = o.scheduled_for::text; -- one_row

-- started_since(job_id, due_at)
-- Whether anything of a job started at or after an instant: runs of that time or a later one in the
-- ledger, and runs of an earlier one that are under way.
SELECT EXISTS (
    SELECT 1 FROM runs
    WHERE job_id = $1 AND scheduled_for >= $2 AND trigger NOT IN ('backfill', 'alert')
        AND (started_at >= $2 OR status = 'running')
) OR EXISTS (
    SELECT 1 FROM runs
    WHERE job_id = $1 AND status IN ('due', 'running') AND trigger NOT IN ('backfill', 'alert')
        AND (started_at >= $2 OR (status = 'running' AND claimed_at >= $2))
);

-- insert_alerts(ids, job_ids, job_names, namespaces, overrides, now)
-- Alerts are runs: due at once, claimed, fenced, retried and settled like any other.
INSERT INTO runs (
    id, scheduled_for, job_id, job_name, namespace, trigger, status, next_attempt_at, overrides
)
SELECT a.id, $6::timestamptz, a.job_id, a.job_name, a.namespace, 'alert', 'due', $6::timestamptz,
    a.overrides::json
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
    AS a (id, job_id, job_name, namespace, overrides);
