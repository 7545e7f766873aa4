-- The coming instants of each job, and the versions that computed them.

-- write_expectations(versions, job_ids, instants, refresh_ats)
-- `instants` are array literals, for an array of arrays would be taken apart.
INSERT INTO job_expectations (job_id, versions, instants, refresh_at)
SELECT e.job_id, $1, e.instants::timestamptz[], e.refresh_at
FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS e (job_id, instants, refresh_at)
JOIN jobs AS j ON j.id = e.job_id
ON CONFLICT (job_id) DO UPDATE
SET versions = excluded.versions, instants = excluded.instants, refresh_at = excluded.refresh_at;

-- other_versions(versions)
-- Which other versions computed anything: one look in the index for each.
WITH RECURSIVE known AS (
    (SELECT versions FROM job_expectations ORDER BY versions LIMIT 1)
    UNION ALL
    SELECT (
        SELECT e.versions FROM job_expectations AS e
        WHERE e.versions > known.versions ORDER BY e.versions LIMIT 1
    )
    FROM known WHERE known.versions IS NOT NULL
)
SELECT versions FROM known WHERE versions IS NOT NULL AND versions <> $1;

-- expectations_under(versions, after_job_id, at_most)
-- What other versions computed, page by page through job_expectations_versions.
SELECT e.job_id, e.instants, j.namespace, j.revision, j.definition, j.created_at
FROM (
    SELECT job_id, instants FROM job_expectations
    WHERE versions = $1 AND job_id > $2
    ORDER BY job_id LIMIT $3
) AS e
JOIN jobs AS j ON j.id = e.job_id
ORDER BY e.job_id;

-- stale_expectations(now, at_most)
-- Those whose instants have passed, through job_expectations_refresh.
SELECT job_id FROM job_expectations WHERE refresh_at <= $1 ORDER BY refresh_at LIMIT $2;

-- jobs_without_expectations(after_job_id, at_most)
-- Jobs of before there were any; asked at start only.
SELECT j.id FROM jobs AS j
WHERE j.id > $1 AND NOT EXISTS (SELECT FROM job_expectations AS e WHERE e.job_id = j.id)
ORDER BY j.id LIMIT $2;

-- lock_timers(job_ids)
-- In the order of their keys, so that two replicas that start at once do not wait in a circle.
SELECT job_id, scheduled_for, fire_at, runs_made, revision
FROM job_timers WHERE job_id = ANY ($1::uuid[])
ORDER BY job_id
FOR UPDATE;

-- set_timers(job_ids, scheduled_fors, fire_ats)
-- Jobs that drift moves: their next occurrence as it is named now.
UPDATE job_timers AS t
SET scheduled_for = m.scheduled_for, fire_at = m.fire_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS m (job_id, scheduled_for, fire_at)
WHERE t.job_id = m.job_id;
