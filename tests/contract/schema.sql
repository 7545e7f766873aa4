CREATE FUNCTION public.audit_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP <> 'UPDATE' AND current_setting('scheduler.audit', true) = 'upkeep' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION public.audit_prune(older_than timestamp with time zone, batch integer) RETURNS TABLE(last_seq bigint, last_hash bytea, pruned integer)
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM set_config('scheduler.audit', 'upkeep', true);
    RETURN QUERY
    WITH gone AS (
        DELETE FROM audit_log AS l
        WHERE l.seq < (
            SELECT coalesce(min(o.seq) FILTER (WHERE o.at >= older_than), max(o.seq) + 1)
            FROM (SELECT a.seq, a.at FROM audit_log AS a ORDER BY a.seq LIMIT batch) AS o
        )
        RETURNING l.seq, l.hash
    )
    SELECT g.seq, g.hash, (count(*) OVER ())::integer FROM gone AS g ORDER BY g.seq DESC LIMIT 1;
    PERFORM set_config('scheduler.audit', '', true);
END
$$;

CREATE TABLE public.audit_pending (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    namespace text NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    actor_name text,
    address text,
    request_id text,
    action text NOT NULL,
    resource_kind text NOT NULL,
    resource_id text,
    resource_name text,
    job_id uuid,
    before json,
    after json,
    many json
);

CREATE FUNCTION public.audit_take(since timestamp with time zone, batch integer) RETURNS SETOF public.audit_pending
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM set_config('scheduler.audit', 'upkeep', true);
    RETURN QUERY
    WITH old AS MATERIALIZED (
        SELECT p.ctid FROM audit_pending AS p
        WHERE p.at >= since
        ORDER BY p.at, p.id LIMIT batch
        FOR UPDATE
    )
    DELETE FROM audit_pending AS p USING old WHERE p.ctid = old.ctid
    RETURNING p.*;
    PERFORM set_config('scheduler.audit', '', true);
END
$$;

CREATE TABLE public.api_keys (
    id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    hash bytea NOT NULL,
    namespace text NOT NULL,
    scopes text[] NOT NULL,
    cidrs text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    created_by text,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT api_keys_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_keys_scopes_check CHECK ((cardinality(scopes) > 0))
);

CREATE TABLE public.archives (
    day date NOT NULL,
    state text NOT NULL,
    replica uuid NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    file text,
    sha256 text,
    runs bigint DEFAULT 0 NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    plain_bytes bigint DEFAULT 0 NOT NULL,
    after_at timestamp with time zone,
    after_id uuid,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT archives_check CHECK (((after_at IS NULL) = (after_id IS NULL))),
    CONSTRAINT archives_check1 CHECK (((state = 'copying'::text) OR ((file IS NOT NULL) AND (sha256 IS NOT NULL)))),
    CONSTRAINT archives_check2 CHECK (((state = 'archived'::text) = (finished_at IS NOT NULL))),
    CONSTRAINT archives_state_check CHECK ((state = ANY (ARRAY['copying'::text, 'sealed'::text, 'archived'::text])))
);

CREATE TABLE public.audit_log (
    seq bigint NOT NULL,
    id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    namespace text NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    actor_name text,
    address text,
    request_id text,
    action text NOT NULL,
    resource_kind text NOT NULL,
    resource_id text,
    resource_name text,
    job_id uuid,
    before json,
    after json,
    many json,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    key_id text,
    mac bytea,
    CONSTRAINT audit_log_check CHECK (((key_id IS NULL) = (mac IS NULL))),
    CONSTRAINT audit_log_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT audit_log_prev_hash_check CHECK ((length(prev_hash) = 32))
);

CREATE TABLE public.audit_marks (
    name text NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    key_id text,
    mac bytea,
    CONSTRAINT audit_marks_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT audit_marks_name_check CHECK ((name = ANY (ARRAY['start'::text, 'head'::text]))),
    CONSTRAINT audit_marks_seq_check CHECK ((seq >= 0))
);

CREATE TABLE public.backfills (
    id uuid NOT NULL,
    job_id uuid NOT NULL,
    namespace text NOT NULL,
    range_from timestamp with time zone NOT NULL,
    range_to timestamp with time zone NOT NULL,
    schedule json NOT NULL,
    anchored_at timestamp with time zone NOT NULL,
    overlap text NOT NULL,
    max_per_minute integer NOT NULL,
    total integer NOT NULL,
    created integer DEFAULT 0 NOT NULL,
    status text NOT NULL,
    reason text,
    next_from timestamp with time zone NOT NULL,
    paced_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT backfills_check CHECK ((range_from < range_to)),
    CONSTRAINT backfills_check1 CHECK (((status = 'running'::text) = (finished_at IS NULL))),
    CONSTRAINT backfills_check2 CHECK (((status = 'cancelled'::text) = (reason IS NOT NULL))),
    CONSTRAINT backfills_created_check CHECK ((created >= 0)),
    CONSTRAINT backfills_max_per_minute_check CHECK ((max_per_minute > 0)),
    CONSTRAINT backfills_overlap_check CHECK ((overlap = ANY (ARRAY['skip'::text, 'queue'::text, 'allow'::text]))),
    CONSTRAINT backfills_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'cancelled'::text]))),
    CONSTRAINT backfills_total_check CHECK ((total >= 0))
)
WITH (fillfactor='70');

CREATE TABLE public.concurrency_keys (
    namespace text NOT NULL,
    key text NOT NULL,
    configured boolean DEFAULT false NOT NULL,
    max_parallel integer,
    max_per_second double precision,
    rate_free_at timestamp with time zone,
    breaker text DEFAULT 'closed'::text NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    opens integer DEFAULT 0 NOT NULL,
    opened_at timestamp with time zone,
    retry_at timestamp with time zone,
    probe uuid,
    CONSTRAINT concurrency_keys_breaker_check CHECK ((breaker = ANY (ARRAY['closed'::text, 'open'::text, 'probing'::text]))),
    CONSTRAINT concurrency_keys_check CHECK ((configured OR ((max_parallel IS NULL) AND (max_per_second IS NULL)))),
    CONSTRAINT concurrency_keys_check1 CHECK (((breaker = 'closed'::text) = (opened_at IS NULL))),
    CONSTRAINT concurrency_keys_check2 CHECK (((breaker = 'closed'::text) = (retry_at IS NULL))),
    CONSTRAINT concurrency_keys_check3 CHECK (((breaker = 'probing'::text) = (probe IS NOT NULL))),
    CONSTRAINT concurrency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255))),
    CONSTRAINT concurrency_keys_max_parallel_check CHECK ((max_parallel > 0)),
    CONSTRAINT concurrency_keys_max_per_second_check CHECK ((max_per_second > (0)::double precision))
)
WITH (fillfactor='50');

CREATE TABLE public.continuity (
    one_row boolean DEFAULT true NOT NULL,
    alive_at timestamp with time zone NOT NULL,
    identity text,
    line integer,
    held_at timestamp with time zone,
    CONSTRAINT continuity_one_row_check CHECK (one_row)
);

CREATE SEQUENCE public.event_ids
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.event_interest (
    one boolean DEFAULT true NOT NULL,
    until timestamp with time zone NOT NULL,
    CONSTRAINT event_interest_one_check CHECK (one)
);

CREATE UNLOGGED TABLE public.events (
    id bigint NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    subject uuid NOT NULL,
    job_id uuid NOT NULL,
    status text NOT NULL,
    scheduled_for timestamp with time zone,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.history_marks (
    job_id uuid NOT NULL,
    pruned_before timestamp with time zone NOT NULL
)
WITH (fillfactor='70');

CREATE TABLE public.holds (
    namespace text NOT NULL,
    reason text NOT NULL,
    since timestamp with time zone NOT NULL,
    alive_at timestamp with time zone,
    missed text,
    decided_at timestamp with time zone,
    window_ms bigint DEFAULT 0 NOT NULL,
    CONSTRAINT holds_check CHECK (((missed IS NULL) = (decided_at IS NULL))),
    CONSTRAINT holds_missed_check CHECK ((missed = ANY (ARRAY['release'::text, 'skip'::text, 'once'::text]))),
    CONSTRAINT holds_reason_check CHECK ((reason = ANY (ARRAY['restored'::text, 'outage'::text]))),
    CONSTRAINT holds_window_ms_check CHECK ((window_ms >= 0))
);

CREATE TABLE public.idempotency_keys (
    namespace text NOT NULL,
    credential text NOT NULL,
    key text NOT NULL,
    request bytea NOT NULL,
    status smallint NOT NULL,
    headers json NOT NULL,
    media_type text NOT NULL,
    body bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_keys_status_check CHECK (((status >= 200) AND (status <= 299)))
);

CREATE TABLE public.identity_keys (
    id text NOT NULL,
    sealed text NOT NULL,
    public_key json NOT NULL,
    created_at timestamp with time zone NOT NULL,
    retired_at timestamp with time zone,
    CONSTRAINT identity_keys_sealed_check CHECK ((sealed ~~ 'sealed:v1:%'::text))
);

CREATE TABLE public.job_expectations (
    job_id uuid NOT NULL,
    versions text NOT NULL,
    instants timestamp with time zone[] NOT NULL,
    refresh_at timestamp with time zone
)
WITH (fillfactor='80');

CREATE TABLE public.job_incidents (
    job_id uuid NOT NULL,
    failures_in_row integer DEFAULT 0 NOT NULL,
    outcomes text DEFAULT ''::text NOT NULL,
    durations bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    incidents text[] DEFAULT '{}'::text[] NOT NULL,
    last_started_at timestamp with time zone,
    quiet_from timestamp with time zone,
    watch_at timestamp with time zone
)
WITH (fillfactor='70');

CREATE TABLE public.job_timers (
    job_id uuid NOT NULL,
    scheduled_for timestamp with time zone,
    fire_at timestamp with time zone,
    revision integer NOT NULL,
    runs_made integer DEFAULT 0 NOT NULL,
    CONSTRAINT job_timers_check1 CHECK ((scheduled_for <= fire_at))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_cost_delay='0');

CREATE TABLE public.jobs (
    id uuid NOT NULL,
    namespace text NOT NULL,
    name text,
    description text NOT NULL,
    labels jsonb NOT NULL,
    definition json NOT NULL,
    state text NOT NULL,
    pause json,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT jobs_check CHECK (((state = 'paused'::text) = (pause IS NOT NULL))),
    CONSTRAINT jobs_revision_check CHECK ((revision > 0)),
    CONSTRAINT jobs_state_check CHECK ((state = ANY (ARRAY['active'::text, 'paused'::text, 'completed'::text])))
);

CREATE TABLE public.namespaces (
    name text NOT NULL,
    settings json NOT NULL,
    revision integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT namespaces_revision_check CHECK ((revision > 0))
);

CREATE UNLOGGED TABLE public.rate_buckets (
    client text NOT NULL,
    budget text NOT NULL,
    tokens double precision NOT NULL,
    seen_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE public.replays (
    id uuid NOT NULL,
    namespace text NOT NULL,
    filter json NOT NULL,
    max_per_minute integer NOT NULL,
    total integer NOT NULL,
    created integer DEFAULT 0 NOT NULL,
    left_out integer DEFAULT 0 NOT NULL,
    status text NOT NULL,
    reason text,
    after_at timestamp with time zone NOT NULL,
    after_id uuid NOT NULL,
    paced_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT replays_check CHECK (((status = 'running'::text) = (finished_at IS NULL))),
    CONSTRAINT replays_check1 CHECK (((status = 'cancelled'::text) = (reason IS NOT NULL))),
    CONSTRAINT replays_created_check CHECK ((created >= 0)),
    CONSTRAINT replays_left_out_check CHECK ((left_out >= 0)),
    CONSTRAINT replays_max_per_minute_check CHECK ((max_per_minute > 0)),
    CONSTRAINT replays_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'cancelled'::text]))),
    CONSTRAINT replays_total_check CHECK ((total >= 0))
)
WITH (fillfactor='70');

CREATE TABLE public.replicas (
    id uuid NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    tzdata text NOT NULL,
    role text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    heartbeat_at timestamp with time zone NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    running integer DEFAULT 0 NOT NULL,
    slots integer NOT NULL,
    clock_offset_ms double precision DEFAULT 0 NOT NULL,
    CONSTRAINT replicas_role_check CHECK ((role = ANY (ARRAY['all'::text, 'api'::text, 'engine'::text])))
);

CREATE TABLE public.run_calendars (
    namespace text NOT NULL,
    first bigint NOT NULL,
    given integer[] NOT NULL,
    past integer[] NOT NULL,
    CONSTRAINT run_calendars_check CHECK ((cardinality(given) = cardinality(past)))
)
WITH (fillfactor='50');

CREATE TABLE public.runs (
    id uuid NOT NULL,
    scheduled_for timestamp with time zone NOT NULL,
    job_id uuid NOT NULL,
    job_name text,
    namespace text NOT NULL,
    trigger text NOT NULL,
    status text NOT NULL,
    reason text,
    occurrences integer DEFAULT 1 NOT NULL,
    scheduled_until timestamp with time zone,
    priority smallint DEFAULT 0 NOT NULL,
    attempt_count smallint DEFAULT 0 NOT NULL,
    lost_count smallint DEFAULT 0 NOT NULL,
    queued boolean DEFAULT false NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL,
    replica uuid,
    next_attempt_at timestamp with time zone,
    claimed_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    lateness_ms bigint,
    duration_ms bigint,
    replay_of uuid,
    backfill_id uuid,
    overrides json,
    attempts text[] DEFAULT '{}'::text[] NOT NULL,
    concurrency_key text,
    deferral jsonb,
    completion_until timestamp with time zone,
    completion_ms bigint,
    completion_status text,
    completion_detail text,
    replay_id uuid,
    held boolean DEFAULT false NOT NULL,
    CONSTRAINT runs_attempt_count_check CHECK ((attempt_count >= 0)),
    CONSTRAINT runs_check1 CHECK (((status = ANY (ARRAY['due'::text, 'running'::text])) = (next_attempt_at IS NOT NULL))),
    CONSTRAINT runs_check2 CHECK (((status = ANY (ARRAY['due'::text, 'running'::text])) = (finished_at IS NULL))),
    CONSTRAINT runs_check3 CHECK (((status <> ALL (ARRAY['failed'::text, 'skipped'::text, 'cancelled'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT runs_occurrences_check CHECK ((occurrences > 0)),
    CONSTRAINT runs_status_check CHECK ((status = ANY (ARRAY['due'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'skipped'::text, 'cancelled'::text])))
)
PARTITION BY RANGE (scheduled_for);

CREATE TABLE public.runs_default (
    id uuid CONSTRAINT runs_id_not_null NOT NULL,
    scheduled_for timestamp with time zone CONSTRAINT runs_scheduled_for_not_null NOT NULL,
    job_id uuid CONSTRAINT runs_job_id_not_null NOT NULL,
    job_name text,
    namespace text CONSTRAINT runs_namespace_not_null NOT NULL,
    trigger text CONSTRAINT runs_trigger_not_null NOT NULL,
    status text CONSTRAINT runs_status_not_null NOT NULL,
    reason text,
    occurrences integer DEFAULT 1 CONSTRAINT runs_occurrences_not_null NOT NULL,
    scheduled_until timestamp with time zone,
    priority smallint DEFAULT 0 CONSTRAINT runs_priority_not_null NOT NULL,
    attempt_count smallint DEFAULT 0 CONSTRAINT runs_attempt_count_not_null NOT NULL,
    lost_count smallint DEFAULT 0 CONSTRAINT runs_lost_count_not_null NOT NULL,
    queued boolean DEFAULT false CONSTRAINT runs_queued_not_null NOT NULL,
    cancel_requested boolean DEFAULT false CONSTRAINT runs_cancel_requested_not_null NOT NULL,
    replica uuid,
    next_attempt_at timestamp with time zone,
    claimed_at timestamp with time zone,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    lateness_ms bigint,
    duration_ms bigint,
    replay_of uuid,
    backfill_id uuid,
    overrides json,
    attempts text[] DEFAULT '{}'::text[] CONSTRAINT runs_attempts_not_null NOT NULL,
    concurrency_key text,
    deferral jsonb,
    completion_until timestamp with time zone,
    completion_ms bigint,
    completion_status text,
    completion_detail text,
    replay_id uuid,
    held boolean DEFAULT false CONSTRAINT runs_held_not_null NOT NULL,
    CONSTRAINT runs_attempt_count_check CHECK ((attempt_count >= 0)),
    CONSTRAINT runs_check1 CHECK (((status = ANY (ARRAY['due'::text, 'running'::text])) = (next_attempt_at IS NOT NULL))),
    CONSTRAINT runs_check2 CHECK (((status = ANY (ARRAY['due'::text, 'running'::text])) = (finished_at IS NULL))),
    CONSTRAINT runs_check3 CHECK (((status <> ALL (ARRAY['failed'::text, 'skipped'::text, 'cancelled'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT runs_occurrences_check CHECK ((occurrences > 0)),
    CONSTRAINT runs_status_check CHECK ((status = ANY (ARRAY['due'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'skipped'::text, 'cancelled'::text])))
);

CREATE TABLE public.schema_migrations (
    number integer NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    compatible_from integer
);

CREATE TABLE public.secrets (
    namespace text NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    sealed text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT secrets_sealed_check CHECK ((sealed ~~ 'sealed:v1:%'::text))
);

CREATE TABLE public.sessions (
    hash bytea NOT NULL,
    credential bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT sessions_credential_check CHECK ((length(credential) = 32)),
    CONSTRAINT sessions_hash_check CHECK ((length(hash) = 32))
);

CREATE TABLE public.signing_secrets (
    id uuid NOT NULL,
    namespace text NOT NULL,
    name text,
    type text NOT NULL,
    host text,
    hint text NOT NULL,
    sealed text NOT NULL,
    public_key text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    CONSTRAINT signing_secrets_check CHECK (((type = 'ed25519'::text) = (public_key IS NOT NULL))),
    CONSTRAINT signing_secrets_sealed_check CHECK ((sealed ~~ 'sealed:v1:%'::text)),
    CONSTRAINT signing_secrets_type_check CHECK ((type = ANY (ARRAY['hmac'::text, 'ed25519'::text])))
);

CREATE TABLE public.turns (
    name text NOT NULL,
    until timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.runs ATTACH PARTITION public.runs_default DEFAULT;

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.archives
    ADD CONSTRAINT archives_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.audit_marks
    ADD CONSTRAINT audit_marks_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.backfills
    ADD CONSTRAINT backfills_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.concurrency_keys
    ADD CONSTRAINT concurrency_keys_pkey PRIMARY KEY (namespace, key);

ALTER TABLE ONLY public.continuity
    ADD CONSTRAINT continuity_pkey PRIMARY KEY (one_row);

ALTER TABLE ONLY public.event_interest
    ADD CONSTRAINT event_interest_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.history_marks
    ADD CONSTRAINT history_marks_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (namespace);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (namespace, credential, key);

ALTER TABLE ONLY public.identity_keys
    ADD CONSTRAINT identity_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.job_expectations
    ADD CONSTRAINT job_expectations_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.job_incidents
    ADD CONSTRAINT job_incidents_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.job_timers
    ADD CONSTRAINT job_timers_pkey PRIMARY KEY (job_id);

ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.namespaces
    ADD CONSTRAINT namespaces_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.rate_buckets
    ADD CONSTRAINT rate_buckets_pkey PRIMARY KEY (client, budget);

ALTER TABLE ONLY public.replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.run_calendars
    ADD CONSTRAINT run_calendars_pkey PRIMARY KEY (namespace);

ALTER TABLE public.runs
    ADD CONSTRAINT runs_completion_status CHECK ((completion_status = ANY (ARRAY['succeeded'::text, 'failed'::text]))) NOT VALID;

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (scheduled_for, id);

ALTER TABLE ONLY public.runs_default
    ADD CONSTRAINT runs_default_pkey PRIMARY KEY (scheduled_for, id);

ALTER TABLE public.runs
    ADD CONSTRAINT runs_held_or_awaiting CHECK (((status <> 'running'::text) OR (replica IS NOT NULL) OR (completion_until IS NOT NULL))) NOT VALID;

ALTER TABLE public.runs
    ADD CONSTRAINT runs_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'manual'::text, 'backfill'::text, 'catch_up'::text, 'replay'::text, 'alert'::text]))) NOT VALID;

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (namespace, name);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (hash);

ALTER TABLE ONLY public.signing_secrets
    ADD CONSTRAINT signing_secrets_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (name);

CREATE UNIQUE INDEX api_keys_hash ON public.api_keys USING btree (hash);

CREATE INDEX api_keys_list ON public.api_keys USING btree (created_at DESC, id DESC);

CREATE INDEX audit_log_action ON public.audit_log USING btree (action, at DESC, seq DESC);

CREATE INDEX audit_log_actor ON public.audit_log USING btree (actor_id, at DESC, seq DESC);

CREATE INDEX audit_log_all ON public.audit_log USING btree (at DESC, seq DESC);

CREATE INDEX audit_log_job ON public.audit_log USING btree (job_id, at DESC, seq DESC) WHERE (job_id IS NOT NULL);

CREATE INDEX audit_log_namespace ON public.audit_log USING btree (namespace, at DESC, seq DESC);

CREATE INDEX audit_log_request ON public.audit_log USING btree (request_id) WHERE (request_id IS NOT NULL);

CREATE INDEX audit_log_resource ON public.audit_log USING btree (resource_id, at DESC, seq DESC);

CREATE INDEX audit_pending_age ON public.audit_pending USING btree (at, id);

CREATE INDEX backfills_ended ON public.backfills USING btree (finished_at) WHERE (status <> 'running'::text);

CREATE INDEX backfills_job ON public.backfills USING btree (job_id, created_at DESC, id DESC);

CREATE INDEX backfills_list ON public.backfills USING btree (namespace, created_at DESC, id DESC);

CREATE INDEX backfills_running ON public.backfills USING btree (paced_at, id) WHERE (status = 'running'::text);

CREATE INDEX idempotency_keys_age ON public.idempotency_keys USING btree (created_at);

CREATE UNIQUE INDEX identity_keys_signing ON public.identity_keys USING btree ((true)) WHERE (retired_at IS NULL);

CREATE INDEX job_expectations_refresh ON public.job_expectations USING btree (refresh_at) WHERE (refresh_at IS NOT NULL);

CREATE INDEX job_expectations_versions ON public.job_expectations USING btree (versions, job_id);

CREATE INDEX job_incidents_watch ON public.job_incidents USING btree (watch_at) WHERE (watch_at IS NOT NULL);

CREATE INDEX job_timers_due ON public.job_timers USING btree (fire_at, job_id) WHERE (fire_at IS NOT NULL);

CREATE INDEX job_timers_parked ON public.job_timers USING btree (job_id) WHERE ((fire_at IS NULL) AND (scheduled_for IS NOT NULL));

CREATE INDEX jobs_ended ON public.jobs USING btree (id) WHERE ((state = 'completed'::text) AND (strpos((definition)::text, '"delete_after_completion":true'::text) > 0));

CREATE INDEX jobs_labels ON public.jobs USING gin (labels jsonb_path_ops);

CREATE INDEX jobs_list_created ON public.jobs USING btree (namespace, created_at, id);

CREATE INDEX jobs_list_name ON public.jobs USING btree (namespace, name COLLATE "C", id);

CREATE INDEX jobs_list_state ON public.jobs USING btree (namespace, state, created_at, id);

CREATE UNIQUE INDEX jobs_name ON public.jobs USING btree (namespace, name COLLATE "C") WHERE (name IS NOT NULL);

CREATE INDEX jobs_retention ON public.jobs USING btree (id) WHERE (strpos((definition)::text, '"retention":'::text) > 0);

CREATE INDEX rate_buckets_age ON public.rate_buckets USING btree (seen_at);

CREATE INDEX replays_ended ON public.replays USING btree (finished_at) WHERE (status <> 'running'::text);

CREATE INDEX replays_list ON public.replays USING btree (namespace, created_at DESC, id DESC);

CREATE INDEX replays_running ON public.replays USING btree (paced_at, id) WHERE (status = 'running'::text);

CREATE INDEX runs_awaiting ON ONLY public.runs USING btree (completion_until) WHERE ((status = 'running'::text) AND (completion_until IS NOT NULL));

CREATE INDEX runs_backfill ON ONLY public.runs USING btree (backfill_id) WHERE ((backfill_id IS NOT NULL) AND (status = ANY (ARRAY['due'::text, 'running'::text])));

CREATE INDEX runs_default_backfill_id_idx ON public.runs_default USING btree (backfill_id) WHERE ((backfill_id IS NOT NULL) AND (status = ANY (ARRAY['due'::text, 'running'::text])));

CREATE INDEX runs_default_completion_until_idx ON public.runs_default USING btree (completion_until) WHERE ((status = 'running'::text) AND (completion_until IS NOT NULL));

CREATE INDEX runs_open ON ONLY public.runs USING btree (job_id) WHERE (status = ANY (ARRAY['due'::text, 'running'::text]));

CREATE INDEX runs_default_job_id_idx ON public.runs_default USING btree (job_id) WHERE (status = ANY (ARRAY['due'::text, 'running'::text]));

CREATE INDEX runs_job ON ONLY public.runs USING btree (job_id, scheduled_for DESC, id DESC);

CREATE INDEX runs_default_job_id_scheduled_for_id_idx ON public.runs_default USING btree (job_id, scheduled_for DESC, id DESC);

CREATE INDEX runs_ranges ON ONLY public.runs USING btree (job_id, scheduled_for DESC) WHERE (scheduled_until IS NOT NULL);

CREATE INDEX runs_default_job_id_scheduled_for_idx ON public.runs_default USING btree (job_id, scheduled_for DESC) WHERE (scheduled_until IS NOT NULL);

CREATE INDEX runs_running_key ON ONLY public.runs USING btree (namespace, concurrency_key) WHERE ((status = 'running'::text) AND (concurrency_key IS NOT NULL));

CREATE INDEX runs_default_namespace_concurrency_key_idx ON public.runs_default USING btree (namespace, concurrency_key) WHERE ((status = 'running'::text) AND (concurrency_key IS NOT NULL));

CREATE INDEX runs_pressed ON ONLY public.runs USING btree (namespace, concurrency_key, priority DESC, next_attempt_at) WHERE ((status = 'due'::text) AND (NOT queued) AND (concurrency_key IS NOT NULL));

CREATE INDEX runs_default_namespace_concurrency_key_priority_next_attemp_idx ON public.runs_default USING btree (namespace, concurrency_key, priority DESC, next_attempt_at) WHERE ((status = 'due'::text) AND (NOT queued) AND (concurrency_key IS NOT NULL));

CREATE INDEX runs_failed ON ONLY public.runs USING btree (namespace, scheduled_for DESC, id DESC) WHERE (status = 'failed'::text);

CREATE INDEX runs_default_namespace_scheduled_for_id_idx ON public.runs_default USING btree (namespace, scheduled_for DESC, id DESC) WHERE (status = 'failed'::text);

CREATE INDEX runs_due ON ONLY public.runs USING btree (priority DESC, next_attempt_at) WHERE ((status = 'due'::text) AND (NOT queued) AND (concurrency_key IS NULL));

CREATE INDEX runs_default_priority_next_attempt_at_idx ON public.runs_default USING btree (priority DESC, next_attempt_at) WHERE ((status = 'due'::text) AND (NOT queued) AND (concurrency_key IS NULL));

CREATE INDEX runs_replay ON ONLY public.runs USING btree (replay_id) WHERE ((replay_id IS NOT NULL) AND (status = ANY (ARRAY['due'::text, 'running'::text])));

CREATE INDEX runs_default_replay_id_idx ON public.runs_default USING btree (replay_id) WHERE ((replay_id IS NOT NULL) AND (status = ANY (ARRAY['due'::text, 'running'::text])));

CREATE INDEX runs_replay_of ON ONLY public.runs USING btree (replay_of) WHERE (replay_of IS NOT NULL);

CREATE INDEX runs_default_replay_of_idx ON public.runs_default USING btree (replay_of) WHERE (replay_of IS NOT NULL);

CREATE INDEX runs_running ON ONLY public.runs USING btree (replica) WHERE (status = 'running'::text);

CREATE INDEX runs_default_replica_idx ON public.runs_default USING btree (replica) WHERE (status = 'running'::text);

CREATE INDEX sessions_expires ON public.sessions USING btree (expires_at);

CREATE INDEX signing_secrets_list ON public.signing_secrets USING btree (namespace, created_at DESC, id DESC);

ALTER INDEX public.runs_backfill ATTACH PARTITION public.runs_default_backfill_id_idx;

ALTER INDEX public.runs_awaiting ATTACH PARTITION public.runs_default_completion_until_idx;

ALTER INDEX public.runs_open ATTACH PARTITION public.runs_default_job_id_idx;

ALTER INDEX public.runs_job ATTACH PARTITION public.runs_default_job_id_scheduled_for_id_idx;

ALTER INDEX public.runs_ranges ATTACH PARTITION public.runs_default_job_id_scheduled_for_idx;

ALTER INDEX public.runs_running_key ATTACH PARTITION public.runs_default_namespace_concurrency_key_idx;

ALTER INDEX public.runs_pressed ATTACH PARTITION public.runs_default_namespace_concurrency_key_priority_next_attemp_idx;

ALTER INDEX public.runs_failed ATTACH PARTITION public.runs_default_namespace_scheduled_for_id_idx;

ALTER INDEX public.runs_pkey ATTACH PARTITION public.runs_default_pkey;

ALTER INDEX public.runs_due ATTACH PARTITION public.runs_default_priority_next_attempt_at_idx;

ALTER INDEX public.runs_replay ATTACH PARTITION public.runs_default_replay_id_idx;

ALTER INDEX public.runs_replay_of ATTACH PARTITION public.runs_default_replay_of_idx;

ALTER INDEX public.runs_running ATTACH PARTITION public.runs_default_replica_idx;

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION public.audit_append_only();

CREATE TRIGGER audit_pending_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_pending FOR EACH STATEMENT EXECUTE FUNCTION public.audit_append_only();

ALTER TABLE ONLY public.job_expectations
    ADD CONSTRAINT job_expectations_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job_incidents
    ADD CONSTRAINT job_incidents_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.job_timers
    ADD CONSTRAINT job_timers_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.jobs(id) ON DELETE CASCADE;
