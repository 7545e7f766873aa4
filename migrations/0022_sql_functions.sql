-- migrate: compatible from 11
-- Scheduling in the transaction of an application that shares this database: three functions in a
-- schema of their own. They write as the owner of the tables, so whoever is granted EXECUTE can do
-- this and nothing else; nobody is, until the operator says so.
--
-- What SQL can judge is refused here. The rest (expressions, zones, addresses, quotas) is judged by a
-- replica after the commit, which carries out what it finds in sql_requests: until then a new job is
-- paused, under a definition that stands in for the one that nobody has read yet.

-- What was asked for and committed, and no replica has carried out yet; almost always empty.
CREATE TABLE sql_requests (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verb      text        NOT NULL CHECK (verb IN ('create', 'trigger', 'cancel')),
    namespace text        NOT NULL,
    job_id    uuid        NOT NULL,
    job_name  text,
    run_id    uuid,
    asked_at  timestamptz NOT NULL,
    role      text        NOT NULL,
    address   text,
    document  json,
    CHECK ((verb = 'trigger') = (run_id IS NOT NULL))
);

CREATE SCHEMA IF NOT EXISTS scheduler;

-- An id that begins with its instant, as those that the service makes (RFC 9562).
CREATE FUNCTION scheduler.new_id(at_ms bigint, version text) RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (
        lpad(to_hex(at_ms), 12, '0') || version
        || substr(replace(gen_random_uuid()::text, '-', ''), 14)
    )::uuid
$$;

-- The shape of a definition: made by `python tests/contract/test_sql_functions.py` of the type that
-- the API reads, references resolved, without what is for people.
CREATE FUNCTION scheduler.job_shape() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $shape$
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
$shape$;

-- An instant with an offset that there is (RFC 3339).
CREATE FUNCTION scheduler.is_instant(given text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF given !~* '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$' THEN
        RETURN false;
    END IF;
    RETURN given::timestamptz IS NOT NULL AND substr(given, 12, 2)::integer < 24
        AND substr(given, 18, 2)::integer < 60;
EXCEPTION WHEN data_exception THEN
    RETURN false;
END
$$;

-- What is wrong with one value that is no object and no list.
CREATE FUNCTION scheduler.value_fault(given jsonb, shape jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
$$;

-- Every fault of a value against a shape, each with its pointer. Of several shapes the one counts
-- that has the fewest.
CREATE FUNCTION scheduler.shape_faults(given jsonb, shape jsonb, pointer text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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

-- A secret in the clear would stand in the table, in its log and in that of statements; only the
-- service has the keys that seal. So a secret here is a template that names one.
CREATE FUNCTION scheduler.secret_faults(target jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
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
$$;

-- What is wrong with a definition beyond its shape, of what SQL can tell.
CREATE FUNCTION scheduler.meaning_faults(definition jsonb, created timestamptz) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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
$$;

-- Refuse what a caller gave, with all that is wrong with it.
CREATE FUNCTION scheduler.refuse(faults text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF cardinality(faults) > 0 THEN
        RAISE EXCEPTION 'refused: %', faults[1] USING
            ERRCODE = 'invalid_parameter_value',
            DETAIL = array_to_string(faults[1:100], E'\n'),
            HINT = 'Pointers are into the definition; docs/api.md says what may stand there.';
    END IF;
END
$$;

CREATE FUNCTION scheduler.check_namespace(namespace text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF namespace IS NULL OR namespace !~ '^[a-z0-9][a-z0-9._-]{0,62}$' THEN
        PERFORM scheduler.refuse(ARRAY['the namespace does not match ^[a-z0-9][a-z0-9._-]{0,62}$']);
    END IF;
END
$$;

-- Note what was asked for; replicas hear of it when, and if, the transaction commits.
CREATE FUNCTION scheduler.ask(
    verb text, namespace text, job_id uuid, job_name text, run_id uuid, asked_at timestamptz,
    document json
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

CREATE FUNCTION scheduler.find_job(job text, namespace text) RETURNS uuid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT j.id FROM public.jobs AS j
    WHERE j.namespace = $2 AND (
        CASE WHEN replace($1, '-', '') ~* '^[0-9a-f]{32}$' THEN j.id = $1::uuid
            ELSE j.name = $1 COLLATE "C" END
    )
$$;

-- A job as POST /jobs takes it; answers its id. It fires if the transaction commits.
CREATE FUNCTION scheduler.create_job(
    definition jsonb, namespace text DEFAULT 'default', if_exists text DEFAULT 'error'
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

-- A run now, beside the cadence; answers the id that the run will have. It locks nothing: the job is
-- in nobody's way while the transaction is open.
CREATE FUNCTION scheduler.trigger_job(
    job text, body jsonb DEFAULT NULL, overlap text DEFAULT NULL, namespace text DEFAULT 'default'
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

-- Delete a job, so that nothing of it fires any more; false where there is none. Its timer is locked
-- before it, as everywhere.
CREATE FUNCTION scheduler.cancel_job(job text, namespace text DEFAULT 'default') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

REVOKE ALL ON SCHEMA scheduler FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA scheduler FROM PUBLIC;
