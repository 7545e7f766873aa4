CREATE SCHEMA scheduler;

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

CREATE FUNCTION scheduler.ask(verb text, namespace text, job_id uuid, job_name text, run_id uuid, asked_at timestamp with time zone, document json) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO public.sql_requests (
        verb, namespace, job_id, job_name, run_id, asked_at, role, address, document
    )
    VALUES (
        ask.verb, ask.namespace, ask.job_id, ask.job_name, ask.run_id, ask.asked_at, session_user,
        host(inet_client_addr()), ask.document
    );
    PERFORM pg_notify('scheduler', 'sql -');
END
$$;

CREATE FUNCTION scheduler.cancel_job(job text, namespace text DEFAULT 'default'::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    theirs uuid;
    was record;
BEGIN
    PERFORM scheduler.check_namespace(namespace);
    theirs := scheduler.find_job(job, cancel_job.namespace);
    PERFORM FROM public.job_timers AS t WHERE t.job_id = theirs FOR UPDATE;
    DELETE FROM public.jobs AS j WHERE j.id = theirs RETURNING j.name, j.definition INTO was;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM scheduler.ask(
        'cancel', cancel_job.namespace, theirs, was.name, NULL, clock_timestamp(), was.definition
    );
    PERFORM pg_notify('scheduler', 'forget ' || theirs);
    RETURN true;
END
$$;

CREATE FUNCTION scheduler.check_namespace(namespace text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF namespace IS NULL OR namespace !~ '^[a-z0-9][a-z0-9._-]{0,62}$' THEN
        PERFORM scheduler.refuse(ARRAY['the namespace does not match ^[a-z0-9][a-z0-9._-]{0,62}$']);
    END IF;
END
$_$;

CREATE FUNCTION scheduler.create_job(definition jsonb, namespace text DEFAULT 'default'::text, if_exists text DEFAULT 'error'::text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    at_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    created timestamptz := timestamptz 'epoch' + at_ms * interval '1 millisecond';
    made uuid := scheduler.new_id(at_ms, '7');
    given_name text := definition ->> 'name';
    standing uuid;
BEGIN
    PERFORM scheduler.check_namespace(namespace);
    IF if_exists IS NULL OR if_exists NOT IN ('error', 'keep') THEN
        PERFORM scheduler.refuse(ARRAY['if_exists must be one of error, keep']);
    ELSIF definition IS NULL OR octet_length(definition::text) > 1048576 THEN
        PERFORM scheduler.refuse(ARRAY['the definition is null, or longer than 1 MiB']);
    END IF;
    PERFORM scheduler.refuse(scheduler.shape_faults(definition, scheduler.job_shape(), ''));
    PERFORM scheduler.refuse(scheduler.meaning_faults(definition, created));
    LOOP
        INSERT INTO public.jobs (
            id, namespace, name, description, labels, definition, state, pause, revision, created_at,
            updated_at
        )
        VALUES (
            made, create_job.namespace, given_name, coalesce(definition ->> 'description', ''),
            coalesce(definition -> 'labels', '{}'),
            json_build_object(
                'name', given_name,
                'description', coalesce(definition ->> 'description', ''),
                'labels', coalesce(definition -> 'labels', '{}'),
                'schedule', json_build_object(
                    'at', to_char(created AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                    'if_past', 'skip'
                ),
                'target', json_build_object('url', definition #>> '{target,url}')
            ),
            'paused',
            json_build_object(
                'reason', 'created in SQL, and no replica has looked at it yet',
                'since', created, 'recorded_until', created, 'by', session_user
            ),
            1, created, created
        )
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        standing := scheduler.find_job(given_name, create_job.namespace);
        IF if_exists = 'keep' AND standing IS NOT NULL THEN
            RETURN standing;
        ELSIF standing IS NOT NULL THEN
            RAISE EXCEPTION 'a job named ''%'' exists already in the namespace ''%''', given_name,
                create_job.namespace USING
                ERRCODE = 'unique_violation',
                DETAIL = format('Its id is %s.', standing),
                HINT = 'if_exists => ''keep'' answers that id instead.';
        END IF;
    END LOOP;
    INSERT INTO public.job_timers (job_id, scheduled_for, fire_at, revision) VALUES (made, NULL, NULL, 1);
    PERFORM scheduler.ask(
        'create', create_job.namespace, made, given_name, NULL, created, definition::json
    );
    RETURN made;
END
$$;

CREATE FUNCTION scheduler.find_job(job text, namespace text) RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    SELECT j.id FROM public.jobs AS j
    WHERE j.namespace = $2 AND (
        CASE WHEN replace($1, '-', '') ~* '^[0-9a-f]{32}$' THEN j.id = $1::uuid
            ELSE j.name = $1 COLLATE "C" END
    )
$_$;

CREATE FUNCTION scheduler.is_instant(given text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
    IF given !~* '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$' THEN
        RETURN false;
    END IF;
    RETURN given::timestamptz IS NOT NULL AND substr(given, 12, 2)::integer < 24
        AND substr(given, 18, 2)::integer < 60;
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$_$;

CREATE FUNCTION scheduler.job_shape() RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    SELECT '{"type": "object", "required": ["schedule", "target"], "additionalProperties": false, "properties": {
"name": {"anyOf": [{"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,127}$"}, {"type": "null"}]},
"description": {"type": "string", "maxLength": 4096},
"labels": {"type": "object", "propertyNames": {"pattern": "^[a-z0-9][a-z0-9._/-]{0,62}$"}, "additionalProperties": {"type": "string", "maxLength": 256}, "maxProperties": 64},
"schedule": {"type": "object", "properties": {"cron": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "every": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "anchor": {"type": "string", "format": "date-time"}, "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "array", "items": {"type": "string", "format": "date-time"}}]}, "if_past": {"enum": ["reject", "run", "skip"]}, "timezone": {"type": "string"}, "dst_gap": {"enum": ["auto", "run_after", "skip"]}, "dst_overlap": {"enum": ["auto", "both", "first", "second"]}, "spread": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "start": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "end": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "max_runs": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 2147483647}, {"type": "null"}]}, "exclude": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"from": {"type": "string", "format": "date-time"}, "to": {"type": "string", "format": "date-time"}}, "required": ["from", "to"], "additionalProperties": false}]}}}, "required": [], "additionalProperties": false},
"target": {"type": "object", "properties": {"url": {"type": "string", "maxLength": 2083}, "type": {"enum": ["http"]}, "method": {"enum": ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]}, "headers": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 50}, "body": {}, "body_base64": {"type": "string", "maxLength": 349528}, "timeout": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "redirects": {"type": "integer", "minimum": 0, "maximum": 5}, "success_status": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "maxItems": 50, "minItems": 1}, "redact": {"type": "object", "properties": {"headers": {"type": "array", "items": {"type": "string"}, "maxItems": 50}, "pointers": {"type": "array", "items": {"type": "string"}, "maxItems": 50}}, "required": [], "additionalProperties": false}, "tls": {"anyOf": [{"type": "object", "properties": {"ca": {"anyOf": [{"type": "string", "maxLength": 65536, "minLength": 1}, {"type": "null"}]}, "certificate": {"anyOf": [{"type": "string", "maxLength": 65536, "minLength": 1}, {"type": "null"}]}, "key": {"anyOf": [{"type": "string", "maxLength": 32768, "minLength": 1}, {"type": "null"}]}, "server_name": {"anyOf": [{"type": "string", "maxLength": 253, "minLength": 1}, {"type": "null"}]}}, "required": [], "additionalProperties": false}, {"type": "null"}]}, "auth": {"anyOf": [{"type": "object", "properties": {"type": {"enum": ["basic"]}, "username": {"type": "string", "maxLength": 255}, "password": {"type": "string"}}, "required": ["type", "username", "password"], "additionalProperties": false}, {"type": "object", "properties": {"type": {"enum": ["bearer"]}, "token": {"type": "string"}}, "required": ["type", "token"], "additionalProperties": false}, {"type": "object", "properties": {"type": {"enum": ["oidc"]}, "audience": {"type": "string", "maxLength": 1024, "minLength": 1}}, "required": ["type", "audience"], "additionalProperties": false}, {"type": "null"}]}, "sign": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "format": {"enum": ["cloudevents", "plain"]}, "concurrency_key": {"anyOf": [{"type": "string", "maxLength": 255, "minLength": 1}, {"type": "null"}]}, "completion": {"enum": ["callback", "response"]}, "completion_timeout": {"anyOf": [{"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, {"type": "null"}]}}, "required": ["url"], "additionalProperties": false},
"retry": {"type": "object", "properties": {"max_attempts": {"type": "integer", "minimum": 1, "maximum": 100}, "initial_delay": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "multiplier": {"type": "number", "minimum": 1, "maximum": 100}, "max_delay": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "jitter": {"enum": ["full", "none"]}, "deadline": {"anyOf": [{"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, {"type": "null"}]}, "delays": {"anyOf": [{"type": "array", "items": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "maxItems": 100, "minItems": 1}, {"type": "null"}]}, "on": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}, "maxItems": 50}}, "required": [], "additionalProperties": false},
"misfire": {"type": "object", "properties": {"policy": {"enum": ["all", "once", "skip"]}, "grace": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "max_lateness": {"anyOf": [{"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, {"type": "null"}]}}, "required": [], "additionalProperties": false},
"overlap": {"enum": ["allow", "cancel", "queue", "skip"]},
"priority": {"type": "integer", "minimum": -100, "maximum": 100},
"alerts": {"type": "object", "properties": {"url": {"anyOf": [{"type": "string", "maxLength": 2083}, {"type": "null"}]}, "every_failure": {"type": "boolean"}, "failures_in_row": {"type": "integer", "minimum": 1, "maximum": 1000}, "failures_of": {"anyOf": [{"type": "object", "properties": {"failures": {"type": "integer", "minimum": 1, "maximum": 64}, "runs": {"type": "integer", "minimum": 1, "maximum": 64}}, "required": ["failures", "runs"], "additionalProperties": false}, {"type": "null"}]}, "late_after": {"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, "never_ran": {"type": "boolean"}, "slow_factor": {"anyOf": [{"type": "number", "minimum": 1, "maximum": 1000}, {"type": "null"}]}, "on_recovery": {"type": "boolean"}}, "required": [], "additionalProperties": false},
"auto_pause_after": {"type": "integer", "minimum": 0, "maximum": 1000},
"delete_after_completion": {"type": "boolean"},
"retention": {"anyOf": [{"type": "object", "properties": {"age": {"anyOf": [{"type": "string", "maxLength": 64, "pattern": "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"}, {"type": "null"}]}, "count": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10000}, {"type": "null"}]}}, "required": [], "additionalProperties": false}, {"type": "null"}]}
}}'::jsonb
$_$;

CREATE FUNCTION scheduler.meaning_faults(definition jsonb, created timestamp with time zone) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    faults text[] := scheduler.secret_faults(definition -> 'target');
    rule jsonb := definition -> 'schedule';
    place text;
BEGIN
    IF (SELECT count(*) FROM unnest(ARRAY['cron', 'every', 'at']) AS k WHERE rule ? k) <> 1 THEN
        faults := faults || '/schedule: needs exactly one of cron, every, at'::text;
    END IF;
    IF coalesce(rule ->> 'if_past', 'reject') = 'reject' AND rule ? 'at' THEN
        FOR place IN
            SELECT a.value FROM jsonb_array_elements_text(
                CASE jsonb_typeof(rule -> 'at') WHEN 'array' THEN rule -> 'at'
                    ELSE jsonb_build_array(rule -> 'at') END) AS a (value)
            WHERE a.value::timestamptz <= created
        LOOP
            faults := faults || format('/schedule/at: %s is in the past; name a later instant, or set'
                ' if_past to run or skip', place);
        END LOOP;
    END IF;
    IF (definition -> 'target') ? 'body_base64'
        AND coalesce(definition #> '{target,body}', 'null') <> 'null' THEN
        faults := faults || '/target/body_base64: stands beside body; give one of the two'::text;
    END IF;
    IF octet_length((definition #> '{target,body}')::text) > 262144 THEN
        faults := faults || '/target/body: is longer than 262144 bytes'::text;
    END IF;
    IF replace(definition ->> 'name', '-', '') ~ '^[0-9a-f]{32}$' THEN
        faults := faults || '/name: looks like an id; choose another name'::text;
    END IF;
    RETURN faults;
END
$_$;

CREATE FUNCTION scheduler.new_id(at_ms bigint, version text) RETURNS uuid
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
    SELECT (
        lpad(to_hex(at_ms), 12, '0') || version
        || substr(replace(gen_random_uuid()::text, '-', ''), 14)
    )::uuid
$$;

CREATE FUNCTION scheduler.refuse(faults text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF cardinality(faults) > 0 THEN
        RAISE EXCEPTION 'refused: %', faults[1] USING
            ERRCODE = 'invalid_parameter_value',
            DETAIL = array_to_string(faults[1:100], E'\n'),
            HINT = 'Pointers are into the definition; docs/api.md says what may stand there.';
    END IF;
END
$$;

CREATE FUNCTION scheduler.secret_faults(target jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
    SELECT coalesce(array_agg('/target/' || s.place || ': is a secret, which SQL can not seal; keep it with'
        || ' PUT /secrets/NAME and write {{secret:NAME}}' ORDER BY s.place), '{}')
    FROM (
        SELECT 'headers/' || h.key, h.value
        FROM jsonb_each_text(CASE jsonb_typeof(target -> 'headers') WHEN 'object'
            THEN target -> 'headers' ELSE '{}' END) AS h (key, value)
        WHERE lower(h.key) ~ '^(authorization|cookie|.*-key|.*-token)$'
            AND lower(h.key) !~ 'idempotency-key$'
        UNION ALL
        SELECT 'auth/token', target #>> '{auth,token}' WHERE target -> 'auth' ? 'token'
        UNION ALL
        SELECT 'auth/password', target #>> '{auth,password}' WHERE target -> 'auth' ? 'password'
        UNION ALL
        SELECT 'tls/key', target #>> '{tls,key}' WHERE target #>> '{tls,key}' IS NOT NULL
    ) AS s (place, value)
    WHERE s.value !~ '\{\{\s*secret:'
$_$;

CREATE FUNCTION scheduler.shape_faults(given jsonb, shape jsonb, pointer text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    faults text[] := '{}';
    best text[];
    one text[];
    choice jsonb;
    inner_name text;
    inner_value jsonb;
    known jsonb := shape -> 'properties';
    fault text;
    kind text := jsonb_typeof(given);
    size integer;
    size_least integer := 100000;
BEGIN
    IF shape ? 'anyOf' THEN
        FOR choice IN SELECT jsonb_array_elements(shape -> 'anyOf') LOOP
            one := scheduler.shape_faults(given, choice, pointer);
            size := cardinality(one) + CASE
                WHEN replace(choice ->> 'type', 'integer', 'number') = kind THEN 0
                ELSE 1000
            END;
            IF cardinality(one) = 0 THEN
                RETURN one;
            ELSIF size < size_least THEN
                best := one;
                size_least := size;
            END IF;
        END LOOP;
        RETURN best;
    ELSIF NOT (shape ? 'type' OR shape ? 'enum') THEN
        RETURN faults;
    ELSIF shape ->> 'type' NOT IN ('object', 'array') OR kind IS DISTINCT FROM shape ->> 'type' THEN
        fault := scheduler.value_fault(given, shape);
        RETURN CASE WHEN fault IS NULL THEN faults ELSE ARRAY[pointer || ': ' || fault] END;
    ELSIF kind = 'array' THEN
        size := jsonb_array_length(given);
        IF size > coalesce((shape ->> 'maxItems')::integer, size)
            OR size < coalesce((shape ->> 'minItems')::integer, 0) THEN
            faults := ARRAY[format('%s: has %s items; %s are allowed', pointer, size, concat_ws(', ',
                'at least ' || (shape ->> 'minItems'), 'at most ' || (shape ->> 'maxItems')))];
        END IF;
        FOR inner_name, inner_value IN
            SELECT (e.place - 1)::text, e.value
            FROM jsonb_array_elements(given) WITH ORDINALITY AS e (value, place) LIMIT 1000
        LOOP
            faults := faults || scheduler.shape_faults(inner_value, shape -> 'items',
                pointer || '/' || inner_name);
        END LOOP;
        RETURN faults;
    END IF;
    FOR inner_name, inner_value IN SELECT e.key, e.value FROM jsonb_each(given) AS e LIMIT 1000 LOOP
        fault := pointer || '/' || replace(replace(inner_name, '~', '~0'), '/', '~1');
        IF known ? inner_name THEN
            faults := faults || scheduler.shape_faults(inner_value, known -> inner_name, fault);
        ELSIF jsonb_typeof(shape -> 'additionalProperties') = 'object' THEN
            IF inner_name !~ coalesce(shape #>> '{propertyNames,pattern}', '') THEN
                faults := faults || (fault || ': does not match '
                    || (shape #>> '{propertyNames,pattern}'));
            END IF;
            faults := faults
                || scheduler.shape_faults(inner_value, shape -> 'additionalProperties', fault);
        ELSE
            faults := faults || (fault || ': unknown field; known are '
                || (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(known) AS k));
        END IF;
    END LOOP;
    FOR inner_name IN SELECT jsonb_array_elements_text(shape -> 'required') LOOP
        IF NOT given ? inner_name THEN
            faults := faults || (pointer || '/' || inner_name || ': is required');
        END IF;
    END LOOP;
    SELECT count(*) INTO size FROM jsonb_object_keys(given);
    IF size > coalesce((shape ->> 'maxProperties')::integer, size) THEN
        faults := faults || format('%s: has %s members; at most %s are allowed', pointer, size,
            shape ->> 'maxProperties');
    END IF;
    RETURN faults;
END
$$;

CREATE FUNCTION scheduler.trigger_job(job text, body jsonb DEFAULT NULL::jsonb, overlap text DEFAULT NULL::text, namespace text DEFAULT 'default'::text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    at_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    run uuid := scheduler.new_id(at_ms, '8');
    theirs uuid;
BEGIN
    PERFORM scheduler.check_namespace(namespace);
    IF overlap NOT IN ('skip', 'queue', 'cancel', 'allow') THEN
        PERFORM scheduler.refuse(ARRAY['overlap must be one of skip, queue, cancel, allow']);
    ELSIF octet_length(body::text) > 262144 THEN
        PERFORM scheduler.refuse(ARRAY['the body is longer than 262144 bytes']);
    END IF;
    theirs := scheduler.find_job(job, trigger_job.namespace);
    IF theirs IS NULL THEN
        RAISE EXCEPTION 'there is no job ''%'' in the namespace ''%''', left(job, 128),
            trigger_job.namespace USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM scheduler.ask(
        'trigger', trigger_job.namespace, theirs, NULL, run,
        timestamptz 'epoch' + at_ms * interval '1 millisecond',
        json_strip_nulls(json_build_object('overlap', overlap, 'text', body::text))
    );
    RETURN run;
END
$$;

CREATE FUNCTION scheduler.value_fault(given jsonb, shape jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    word text := given #>> '{}';
    kind text := jsonb_typeof(given);
BEGIN
    IF shape ? 'enum' THEN
        IF NOT (shape -> 'enum') @> given OR kind IN ('array', 'object') THEN
            RETURN 'must be one of ' || replace(trim('[]' FROM (shape -> 'enum')::text), '"', '');
        END IF;
    ELSIF kind <> shape ->> 'type' AND NOT (kind = 'number' AND shape ->> 'type' = 'integer') THEN
        RETURN format('must be %s, not %s', shape ->> 'type', kind);
    ELSIF shape ->> 'type' = 'integer' AND word !~ '^-?\d{1,18}$' THEN
        RETURN 'must be a whole number';
    ELSIF kind = 'number' AND (
        word::numeric < coalesce((shape ->> 'minimum')::numeric, word::numeric)
        OR word::numeric > coalesce((shape ->> 'maximum')::numeric, word::numeric)
    ) THEN
        RETURN concat_ws(', ', 'must be at least ' || (shape ->> 'minimum'),
            'at most ' || (shape ->> 'maximum'));
    ELSIF kind = 'string' AND (
        length(word) > coalesce((shape ->> 'maxLength')::integer, length(word))
        OR length(word) < coalesce((shape ->> 'minLength')::integer, 0)
    ) THEN
        RETURN format('has %s characters; %s are allowed', length(word), concat_ws(', ',
            'at least ' || (shape ->> 'minLength'), 'at most ' || (shape ->> 'maxLength')));
    ELSIF kind = 'string' AND word !~ coalesce(shape ->> 'pattern', '') THEN
        RETURN format('does not match %s', shape ->> 'pattern');
    ELSIF shape ->> 'format' = 'date-time' AND NOT scheduler.is_instant(word) THEN
        RETURN 'must be an RFC 3339 instant with an offset';
    END IF;
    RETURN NULL;
END
$_$;

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
)
WITH (autovacuum_vacuum_scale_factor='0.05');

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

CREATE TABLE public.sql_requests (
    id bigint NOT NULL,
    verb text NOT NULL,
    namespace text NOT NULL,
    job_id uuid NOT NULL,
    job_name text,
    run_id uuid,
    asked_at timestamp with time zone NOT NULL,
    role text NOT NULL,
    address text,
    document json,
    CONSTRAINT sql_requests_check CHECK (((verb = 'trigger'::text) = (run_id IS NOT NULL))),
    CONSTRAINT sql_requests_verb_check CHECK ((verb = ANY (ARRAY['create'::text, 'trigger'::text, 'cancel'::text])))
);

ALTER TABLE public.sql_requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.sql_requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
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

ALTER TABLE ONLY public.sql_requests
    ADD CONSTRAINT sql_requests_pkey PRIMARY KEY (id);

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

CREATE INDEX runs_queued ON ONLY public.runs USING btree (job_id) WHERE ((status = 'due'::text) AND queued AND (NOT held));

CREATE INDEX runs_default_queued ON public.runs_default USING btree (job_id) WHERE ((status = 'due'::text) AND queued AND (NOT held));

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

ALTER INDEX public.runs_queued ATTACH PARTITION public.runs_default_queued;

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
