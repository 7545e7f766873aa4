-- Which database this is, and the namespaces that are held. A row of holds is locked after those of
-- job_timers and runs by who claims, to share; who lets go locks it first, and waits for no timer.

-- read_continuity(replica)
-- With each heartbeat, before it is written: when a replica was last alive, this one's own last
-- heartbeat, and whether anything is held. A replica of an older build writes its heartbeat alone.
SELECT
    (
        SELECT greatest(c.alive_at, max(p.heartbeat_at))
        FROM continuity AS c LEFT JOIN replicas AS p ON p.role <> 'api'
        GROUP BY c.alive_at
    ) AS alive_at,
    (SELECT heartbeat_at FROM replicas WHERE id = $1) AS mine,
    EXISTS (SELECT FROM holds) AS held;

-- begin_continuity(now)
-- The first replica of all.
INSERT INTO continuity (alive_at) VALUES ($1) ON CONFLICT DO NOTHING;

-- begin_judging()
-- Once in a replica's life: it may look at every timer, and waits for another that does.
SELECT set_config('statement_timeout', '60s', true), set_config('lock_timeout', '60s', true);

-- lock_continuity()
-- Replicas that start together judge one after the other: the second sees what the first wrote.
SELECT
    greatest(
        alive_at, (SELECT max(heartbeat_at) FROM replicas WHERE role <> 'api')
    ) AS alive_at,
    identity, line, held_at
FROM continuity FOR UPDATE;

-- write_continuity(now, identity, line, held)
-- Judged: from here on it is this database, alive now.
UPDATE continuity
SET alive_at = $1, identity = $2, line = $3, held_at = CASE WHEN $4 THEN $1 ELSE held_at END;

-- this_place()
-- What a copy has not in common with its original: a dump is loaded into other tables.
SELECT concat_ws(
    '/', (SELECT oid FROM pg_database WHERE datname = current_database()),
    'job_timers'::regclass::oid
);

-- this_server()
-- The cluster and its timeline, where we may ask: some hosts do not let us.
SELECT s.system_identifier::text AS system, c.timeline_id AS line
FROM pg_control_system() AS s, pg_control_checkpoint() AS c;

-- hold_all(now, alive_at)
-- After a restore everything is in doubt: whoever has jobs, or runs that have not ended. The names
-- are found by skipping through an index.
WITH RECURSIVE names AS (
    (SELECT namespace FROM jobs ORDER BY namespace LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.namespace FROM jobs AS j WHERE j.namespace > names.namespace
        ORDER BY j.namespace LIMIT 1
    )
    FROM names WHERE names.namespace IS NOT NULL
)
INSERT INTO holds AS h (namespace, reason, since, alive_at)
SELECT n.namespace, 'restored', $1, $2
FROM (
    SELECT namespace FROM names WHERE namespace IS NOT NULL
    UNION
    SELECT namespace FROM runs WHERE status IN ('due', 'running')
) AS n
ON CONFLICT (namespace) DO UPDATE
SET reason = excluded.reason, since = excluded.since, alive_at = excluded.alive_at,
    missed = NULL, decided_at = NULL, window_ms = 0
RETURNING namespace;

-- hold_overdue(now, alive_at)
-- After a long outage only those with something that was missed; the others go on. Of each namespace
-- the first job that is found overdue is enough.
WITH RECURSIVE names AS (
    (SELECT namespace FROM jobs ORDER BY namespace LIMIT 1)
    UNION ALL
    SELECT (
        SELECT j.namespace FROM jobs AS j WHERE j.namespace > names.namespace
        ORDER BY j.namespace LIMIT 1
    )
    FROM names WHERE names.namespace IS NOT NULL
)
INSERT INTO holds AS h (namespace, reason, since, alive_at)
SELECT n.namespace, 'outage', $1, $2
FROM (
    SELECT names.namespace
    FROM names
    CROSS JOIN LATERAL (
        SELECT FROM jobs AS j JOIN job_timers AS t ON t.job_id = j.id
        WHERE j.namespace = names.namespace AND j.state = 'active'
            AND t.fire_at < $1::timestamptz - interval '1 minute' AND t.scheduled_for IS NOT NULL
        LIMIT 1
    ) AS first
    WHERE names.namespace IS NOT NULL
    UNION
    SELECT namespace FROM runs
    WHERE status = 'running'
        OR (status = 'due' AND next_attempt_at < $1::timestamptz - interval '1 minute')
) AS n
ON CONFLICT (namespace) DO UPDATE
SET reason = excluded.reason, since = excluded.since, alive_at = excluded.alive_at,
    missed = NULL, decided_at = NULL, window_ms = 0
RETURNING namespace;

-- all_holds()
-- What each replica knows by heart while anything is held.
SELECT namespace, reason, since, alive_at, missed, decided_at, window_ms FROM holds
ORDER BY namespace;

-- get_hold(namespace)
-- By key.
SELECT namespace, reason, since, alive_at, missed, decided_at, window_ms FROM holds
WHERE namespace = $1;

-- share_holds(namespaces)
-- Within a claim: what is held now, and stays so until its transaction ends. Nobody can park what
-- another is letting go.
SELECT namespace, reason, since, alive_at, missed, decided_at, window_ms FROM holds
WHERE namespace = ANY ($1::text[])
FOR SHARE;

-- decide_hold(namespace, missed, now, window_ms)
-- Once: who comes second is told what was decided.
UPDATE holds SET missed = $2, decided_at = $3, window_ms = $4
WHERE namespace = $1 AND missed IS NULL
RETURNING namespace, reason, since, alive_at, missed, decided_at, window_ms;

-- lock_decided(seen)
-- The next namespace to let go, which no other replica works on.
SELECT namespace, reason, since, alive_at, missed, decided_at, window_ms FROM holds
WHERE missed IS NOT NULL AND namespace <> ALL ($1::text[])
ORDER BY decided_at, namespace
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- park_timers(job_ids)
-- Of a held namespace, and due: the occurrence stays, the claim does not meet it again.
UPDATE job_timers SET fire_at = NULL
WHERE job_id = ANY ($1::uuid[]) AND scheduled_for IS NOT NULL;

-- unpark_timers(namespace, after, batch)
-- Back before the claim, in bounded batches in the order of their keys. What is locked is met in
-- the next round.
WITH parked AS MATERIALIZED (
    SELECT t.job_id
    FROM job_timers AS t JOIN jobs AS j ON j.id = t.job_id
    WHERE t.fire_at IS NULL AND t.scheduled_for IS NOT NULL AND t.job_id > $2
        AND j.namespace = $1
    ORDER BY t.job_id
    LIMIT $3
    FOR UPDATE OF t SKIP LOCKED
)
UPDATE job_timers AS t SET fire_at = t.scheduled_for
FROM parked
WHERE t.job_id = parked.job_id
RETURNING t.job_id, t.fire_at;

-- hold_runs(ids, scheduled_fors, attempts, replica)
-- Claimed, and not to be sent until somebody decided: out of the way, the attempt uncounted. One
-- that someone asked to cancel ends here.
UPDATE runs AS r
SET status = CASE WHEN r.cancel_requested THEN 'cancelled' ELSE 'due' END,
    reason = CASE WHEN r.cancel_requested THEN 'cancelled' END,
    finished_at = CASE
        WHEN r.cancel_requested THEN date_trunc('milliseconds', clock_timestamp())
    END,
    next_attempt_at = CASE WHEN NOT r.cancel_requested THEN r.next_attempt_at END,
    attempt_count = r.attempt_count - 1,
    replica = NULL,
    queued = true,
    held = true
FROM unnest($1::uuid[], $2::timestamptz[], $3::smallint[]) AS h (id, scheduled_for, attempt)
WHERE h.id::text || '' = h.id::text AND h.attempt + 0 = h.attempt -- one_row
    AND r.scheduled_for = h.scheduled_for AND r.id = h.id AND r.attempt_count = h.attempt
    AND r.status || '' = 'running' AND r.replica::text = $4::uuid::text
RETURNING r.id;

-- unhold_runs(namespace, decided_at, window_ms, batch)
-- Back before the claim. With a window each has its turn in it, by its job; one that was never sent
-- is caught up then, and no edit takes it for one whose instant is still to come.
WITH freed AS MATERIALIZED (
    SELECT id, scheduled_for FROM runs
    WHERE status = 'due' AND held AND namespace = $1
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE runs AS r
SET held = false, queued = false,
    trigger = CASE
        WHEN $3::bigint > 0 AND r.trigger = 'schedule' AND r.attempt_count = 0 THEN 'catch_up'
        ELSE r.trigger
    END,
    next_attempt_at = greatest(
        r.next_attempt_at,
        CASE WHEN $3::bigint > 0 THEN date_trunc(
            'milliseconds',
            $2::timestamptz + $3::bigint * interval '1 millisecond'
                * (('x' || substr(md5(r.job_id::text), 1, 7))::bit(28)::integer / 268435456.0)
        ) END
    )
FROM freed
WHERE r.scheduled_for = freed.scheduled_for AND r.id = freed.id
RETURNING r.id;

-- skip_runs(namespace, decided_at, now, batch)
-- What was there when it was decided that all missed is skipped, and is due: also what waits behind
-- another, and what was rescued since. A retry whose time is still to come was not missed.
WITH missed AS MATERIALIZED (
    SELECT id, scheduled_for FROM runs
    WHERE status = 'due' AND namespace = $1
        AND (held OR (scheduled_for <= $2 AND (queued OR next_attempt_at <= $3)))
    LIMIT $4
    FOR UPDATE SKIP LOCKED
)
UPDATE runs AS r
SET status = CASE WHEN r.attempt_count > 0 THEN 'cancelled' ELSE 'skipped' END,
    reason = 'held', finished_at = $3, next_attempt_at = NULL, held = false, queued = false
FROM missed
WHERE r.scheduled_for = missed.scheduled_for AND r.id = missed.id
RETURNING r.id;

-- cancel_held_backfills(namespace, now)
-- What was missed is skipped: a range that was under way in the backup too.
UPDATE backfills SET status = 'cancelled', reason = 'held', finished_at = $2
WHERE namespace = $1 AND status = 'running';

-- cancel_held_replays(namespace, now)
-- The same for replays by filter.
UPDATE replays SET status = 'cancelled', reason = 'held', finished_at = $2
WHERE namespace = $1 AND status = 'running';

-- held_left(namespace, decided_at, now)
-- Whether anything of it is still to be let go: parked timers, timers that a claim has yet to meet,
-- runs, and runs of replicas that are gone and were not rescued yet.
SELECT EXISTS (
    SELECT FROM job_timers AS t JOIN jobs AS j ON j.id = t.job_id
    WHERE t.fire_at IS NULL AND t.scheduled_for IS NOT NULL AND j.namespace = $1
) OR EXISTS (
    SELECT FROM job_timers AS t JOIN jobs AS j ON j.id = t.job_id
    WHERE t.fire_at <= $2 AND t.scheduled_for IS NOT NULL AND j.namespace = $1
) OR EXISTS (
    SELECT FROM runs WHERE status = 'due' AND held AND namespace = $1
) OR EXISTS (
    SELECT FROM replicas AS p JOIN runs AS r ON r.replica = p.id AND r.status = 'running'
    WHERE p.lease_until < $3 AND r.namespace = $1
);

-- end_hold(namespace)
-- Under the lock of its row: nobody parks what is left behind.
DELETE FROM holds WHERE namespace = $1;

-- missed_of(namespace, now)
-- For people: jobs of a held namespace with an occurrence that has passed, the oldest of these, and
-- runs that wait.
SELECT
    count(*) AS overdue, min(t.scheduled_for) AS oldest,
    (
        SELECT count(*) FROM runs
        WHERE namespace = $1 AND status IN ('due', 'running')
    ) AS runs
FROM jobs AS j
JOIN job_timers AS t ON t.job_id = j.id
WHERE j.namespace = $1 AND j.state = 'active' AND t.scheduled_for <= $2;

-- count_holds()
-- For the metrics.
SELECT count(*) FROM holds;

-- read_lineage()
-- Which server this is, and on which timeline it writes; a standby writes on none. The control file
-- tells the timeline of the last checkpoint, which after a promotion is the old one for a while.
SELECT
    (SELECT system_identifier::text FROM pg_control_system()) AS system,
    CASE
        WHEN NOT pg_is_in_recovery()
        THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
    END AS line;
