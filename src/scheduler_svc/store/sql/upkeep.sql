-- database_now()
-- The one clock that decides.
SELECT clock_timestamp();

-- heartbeat(replica, host, pid, version, tzdata, role, started_at, now, lease_until, running, slots, clock_offset_ms)
-- One row a replica renews the lease on all it holds. Who claims has judged by now that this is the
-- database that was there before, and notes about every two seconds that somebody lives in it; of
-- several replicas whichever comes, and nobody waits for another.
WITH old AS MATERIALIZED (
    SELECT one_row FROM continuity
    WHERE $6 <> 'api' AND alive_at < $8::timestamptz - interval '2 seconds'
    FOR UPDATE SKIP LOCKED
),
noted AS (
    UPDATE continuity AS c SET alive_at = $8 FROM old WHERE c.one_row = old.one_row
)
INSERT INTO replicas AS r (
    id, host, pid, version, tzdata, role, started_at, heartbeat_at, lease_until, running, slots,
    clock_offset_ms
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) DO UPDATE
SET heartbeat_at = excluded.heartbeat_at,
    lease_until = excluded.lease_until,
    running = excluded.running,
    slots = excluded.slots,
    clock_offset_ms = excluded.clock_offset_ms;

-- rescue_runs(now, batch)
-- Runs of replicas whose lease has run out go back to due, in bounded batches; the attempt is kept
-- as lost. A run that has lost too many replicas ends, or it would bring down the next one too. So
-- does one whose target reported its end meanwhile. A run that awaits its report has no replica.
WITH lost AS MATERIALIZED (
    SELECT r.id, r.scheduled_for
    FROM replicas AS p
    JOIN runs AS r ON r.replica = p.id AND r.status = 'running'
    WHERE p.lease_until < $1
    LIMIT $2
    FOR UPDATE OF r SKIP LOCKED
)
UPDATE runs AS r
SET status = CASE
        WHEN r.completion_status IS NOT NULL THEN r.completion_status
        WHEN r.cancel_requested THEN 'cancelled' WHEN r.lost_count >= 3 THEN 'failed' ELSE 'due'
    END,
    reason = CASE
        WHEN r.completion_status = 'failed' THEN 'completion'
        WHEN r.completion_status IS NOT NULL THEN NULL
        WHEN r.cancel_requested THEN 'cancelled' WHEN r.lost_count >= 3 THEN 'attempts'
    END,
    finished_at = CASE
        WHEN r.completion_status IS NOT NULL OR r.cancel_requested OR r.lost_count >= 3
            THEN $1::timestamptz
    END,
    next_attempt_at = CASE
        WHEN r.completion_status IS NOT NULL OR r.cancel_requested OR r.lost_count >= 3 THEN NULL
        ELSE greatest(r.next_attempt_at, $1)
    END,
    lost_count = r.lost_count + 1,
    attempts = r.attempts || json_build_object(
        'number', r.attempt_count,
        'started_at', to_char(r.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'duration_ms', 0,
        'outcome', 'lost',
        'error', 'the replica that held this attempt stopped answering',
        'replica', r.replica
    )::text,
    replica = NULL
FROM lost
WHERE r.scheduled_for = lost.scheduled_for AND r.id = lost.id
RETURNING r.id, r.job_id, r.status, r.scheduled_for, r.reason, r.trigger, r.attempt_count;

-- glance(now, paced_until, unsealed_since)
-- What is there to do of all that is looked for about once a second, in one statement for all of it:
-- where nothing is, nothing else is asked. Each look is the beginning of the statement that it stands
-- for, through the same index, and may say yes where that one then finds nothing.
SELECT
    EXISTS (
        SELECT FROM replicas AS p JOIN runs AS r ON r.replica = p.id AND r.status = 'running'
        WHERE p.lease_until < $1
    ) AS rescue,
    EXISTS (
        SELECT FROM jobs AS j
        WHERE j.state = 'completed'
            AND strpos(j.definition::text, '"delete_after_completion":true') > 0
    ) AS spent,
    EXISTS (SELECT FROM runs WHERE status = 'running' AND completion_until <= $1) AS overdue,
    EXISTS (SELECT FROM job_incidents WHERE watch_at <= $1) AS watched,
    EXISTS (SELECT FROM backfills WHERE status = 'running' AND paced_at <= $2) AS backfills,
    EXISTS (SELECT FROM replays WHERE status = 'running' AND paced_at <= $2) AS replays,
    EXISTS (SELECT FROM audit_pending WHERE at >= $3) AS unsealed;

-- cancel_wanted(replica, ids, scheduled_fors)
-- The backstop of the cancel notice: which of my runs someone asked to cancel. By the keys of what I
-- hold and not through runs_running, which every fire leaves an entry in: an old transaction keeps
-- them all, and each heartbeat would walk over those of all that time.
SELECT r.id
FROM unnest($2::uuid[], $3::timestamptz[]) AS o (id, scheduled_for)
JOIN runs AS r ON r.scheduled_for = o.scheduled_for AND r.id = o.id
WHERE o.id::text || '' = o.id::text AND o.scheduled_for::text || '' = o.scheduled_for::text -- one_row
    AND r.replica::text || '' = $1::uuid::text AND r.status || '' = 'running' AND r.cancel_requested;

-- leave(replica)
-- A replica that stopped politely holds nothing; its row goes.
DELETE FROM replicas
WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM runs WHERE replica = $1 AND status = 'running');

-- prune_replicas(before)
-- Rows of replicas long dead and rescued.
DELETE FROM replicas AS p
WHERE p.lease_until < $1
    AND NOT EXISTS (SELECT 1 FROM runs WHERE replica = p.id AND status = 'running');

-- list_replicas(now)
-- Who is alive: those whose lease holds.
SELECT id, host, pid, version, role, started_at, heartbeat_at, running, slots, clock_offset_ms
FROM replicas
WHERE lease_until >= $1
ORDER BY started_at, id;

-- run_partitions()
-- The days that have a partition of their own.
SELECT c.relname AS name
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'runs'::regclass AND c.relname <> 'runs_default'
ORDER BY c.relname;

-- retired_days(prefix)
-- Days that were taken off and are still there: tables of that name, whatever became of the replica
-- that took them off.
SELECT relname AS name
FROM pg_class
WHERE relkind = 'r' AND pg_table_is_visible(oid) AND starts_with(relname, $1::text)
ORDER BY relname;

-- held_by_default(first, until, at_most)
-- How many rows of a day lie in the default partition, counted no further than this.
SELECT count(*)
FROM (
    SELECT FROM runs_default WHERE scheduled_for >= $1 AND scheduled_for < $2 LIMIT $3::integer
) AS held;

-- prune_default(before, batch)
-- What the default partition holds of days no longer kept, in bounded batches; not what a running
-- replay by filter may have yet to read.
WITH old AS MATERIALIZED (
    SELECT scheduled_for, id FROM runs_default AS d
    WHERE scheduled_for < $1 AND status NOT IN ('due', 'running')
        AND NOT EXISTS (
            SELECT FROM replays AS p WHERE p.status = 'running' AND p.namespace = d.namespace
        )
    LIMIT $2
)
DELETE FROM runs_default AS r
USING old
WHERE old.id::text || '' = old.id::text -- one_row, see settle_runs
    AND r.scheduled_for = old.scheduled_for AND r.id = old.id;

-- stranded_jobs()
-- The backstop of release_queued: jobs with a waiting run whose predecessor ended without telling.
SELECT DISTINCT r.job_id
FROM runs AS r
WHERE r.status = 'due' AND r.queued AND NOT r.held
    AND NOT EXISTS (
        SELECT 1 FROM runs AS o
        WHERE o.job_id = r.job_id AND o.status IN ('due', 'running') AND (NOT o.queued OR o.held)
            AND o.trigger NOT IN ('backfill', 'alert') AND o.replay_id IS NULL
    )
LIMIT 500;

-- lock_spent_jobs(batch)
-- Completed jobs that are to be deleted then; those with an unfinished run come again. PostgreSQL
-- reads no definition that has a NUL somewhere: it gets another character for it.
SELECT t.job_id
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.state = 'completed'
    AND strpos(j.definition::text, '"delete_after_completion":true') > 0
    AND replace(j.definition::text, '\u0000', '\u0001')::json
        ->> 'delete_after_completion' = 'true'
    AND NOT EXISTS (
        SELECT 1 FROM runs AS r
        WHERE r.job_id = j.id AND r.status IN ('due', 'running') AND r.trigger <> 'alert'
    )
    AND NOT EXISTS (SELECT 1 FROM backfills AS b WHERE b.job_id = j.id AND b.status = 'running')
LIMIT $1
FOR UPDATE OF t SKIP LOCKED;

-- delete_spent_jobs(job_ids)
-- Under the locks of their timers and seen anew: an edit may have given a job occurrences, a
-- trigger a run. The timers go with them; history stays until it is pruned. That it was the service
-- is in the audit log.
WITH gone AS (
    DELETE FROM jobs AS j
    WHERE j.id = ANY ($1::uuid[]) AND j.state = 'completed'
        AND replace(j.definition::text, '\u0000', '\u0001')::json
            ->> 'delete_after_completion' = 'true'
        AND NOT EXISTS (
            SELECT 1 FROM runs AS r
            WHERE r.job_id = j.id AND r.status IN ('due', 'running') AND r.trigger <> 'alert'
        )
        AND NOT EXISTS (
            SELECT 1 FROM backfills AS b WHERE b.job_id = j.id AND b.status = 'running'
        )
    RETURNING j.id, j.namespace, j.name, j.revision
),
noted AS (
    INSERT INTO audit_pending (
        namespace, actor_kind, actor_id, action, resource_kind, resource_id, resource_name, job_id,
        before
    )
    SELECT
        g.namespace, 'engine', 'engine', 'job.deleted', 'job', g.id::text, g.name, g.id,
        json_build_object(
            'state', 'completed', 'revision', g.revision, 'delete_after_completion', true
        )
    FROM gone AS g
)
SELECT id, namespace FROM gone;

-- end_lease(replica, now)
-- A replica that leaves gives its lease back: what it still holds is rescued at once.
UPDATE replicas SET lease_until = $2::timestamptz - interval '1 millisecond' WHERE id = $1;

-- my_runs(replica, before)
-- What the database says this replica holds since a while: a claim that committed though its answer
-- was lost is here, and not in its hand.
SELECT id, scheduled_for, attempt_count FROM runs
WHERE replica = $1 AND status = 'running' AND claimed_at < $2;
