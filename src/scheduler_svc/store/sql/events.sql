-- The stream of events: what happened lately, kept for those who watch and come back.

-- events_in_turn()
-- Writers one after another until they commit, so that ids become visible in their order.
SELECT pg_advisory_xact_lock(7305, 1);

-- events_settled()
-- Waits for writers under way: what is given out after this has a greater id.
SELECT pg_advisory_xact_lock_shared(7305, 1);

-- insert_events(names, subjects, job_ids, statuses, scheduled, namespaces, times)
-- Only under events_in_turn. What the teller does not know is looked up: the namespace by the job,
-- or by the run of one that is gone, and the state of a job. What has neither is of no namespace.
INSERT INTO events (id, namespace, name, subject, job_id, status, scheduled_for, at)
SELECT nextval('event_ids'), f.namespace, f.name, f.subject, f.job_id, f.status, f.scheduled_for, f.at
FROM (
    SELECT coalesce(t.namespace, j.namespace, r.namespace) AS namespace, t.name, t.subject, t.job_id,
           coalesce(t.status, j.state, 'deleted') AS status, t.scheduled_for, t.at
    FROM unnest(
        $1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::text[],
        $7::timestamptz[]
    ) WITH ORDINALITY AS t (name, subject, job_id, status, scheduled_for, namespace, at, place)
    LEFT JOIN jobs AS j ON j.id = t.job_id
    LEFT JOIN LATERAL (
        SELECT namespace FROM runs
        WHERE j.id IS NULL AND scheduled_for = t.scheduled_for AND id = t.subject
    ) AS r ON true
    ORDER BY t.place
) AS f
WHERE f.namespace IS NOT NULL;

-- events_after(id, batch)
-- What was told since, of all namespaces: one look serves all that watch at a replica.
SELECT id, namespace, name, subject, job_id, status, scheduled_for, at
FROM events
WHERE id > $1
ORDER BY id
LIMIT $2;

-- event_bounds()
-- The oldest that is kept, and the last id that was given out.
SELECT (SELECT min(id) FROM events) AS oldest, last_value AS newest, is_called FROM event_ids;

-- prune_events(before, batch)
-- Forgets what is too old to come back for.
DELETE FROM events
WHERE id <= (
    SELECT max(o.id) FROM (SELECT id, at FROM events ORDER BY id LIMIT $2) AS o WHERE o.at < $1
);

-- watch_events(until, early)
-- Somebody watches until then; asked for anew only when the old word is about to end.
INSERT INTO event_interest AS i (until) VALUES ($1)
ON CONFLICT (one) DO UPDATE SET until = excluded.until WHERE i.until < $2
RETURNING until;

-- events_watched(at)
-- Whether somebody watches.
SELECT until > $1 AS watched FROM event_interest;
