-- Pressure: limits of a concurrency key, its breaker, and runs that wait because of their key.

-- One row a key that was given limits, or whose breaker ever opened and has not been forgotten; with
-- limits by default, one a key that was called. rate_free_at is the earliest instant of the next
-- call (the theoretical arrival time of GCRA). A probe is the one call that a breaker lets through;
-- while it is out, retry_at is when it counts as lost. `opens` counts openings without a success.
CREATE TABLE concurrency_keys (
    namespace      text             NOT NULL,
    key            text             NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    configured     boolean          NOT NULL DEFAULT false,
    max_parallel   integer          CHECK (max_parallel > 0),
    max_per_second double precision CHECK (max_per_second > 0),
    rate_free_at   timestamptz,
    breaker        text             NOT NULL DEFAULT 'closed'
        CHECK (breaker IN ('closed', 'open', 'probing')),
    failures       integer          NOT NULL DEFAULT 0,
    opens          integer          NOT NULL DEFAULT 0,
    opened_at      timestamptz,
    retry_at       timestamptz,
    probe          uuid,
    PRIMARY KEY (namespace, key),
    CHECK (configured OR (max_parallel IS NULL AND max_per_second IS NULL)),
    CHECK ((breaker = 'closed') = (opened_at IS NULL)),
    CHECK ((breaker = 'closed') = (retry_at IS NULL)),
    CHECK ((breaker = 'probing') = (probe IS NOT NULL))
) WITH (fillfactor = 50);

-- The key is set on runs that wait because of it, and on those that a replica took from there; on no
-- others, so that most runs pay for neither column nor index. `deferral` says what a run waited for.
ALTER TABLE runs ADD COLUMN concurrency_key text;
ALTER TABLE runs ADD COLUMN deferral jsonb;

-- Serves claim_due_runs and next_instants: what waits because of its key is in nobody's way.
DROP INDEX runs_due;
CREATE INDEX runs_due ON runs (priority DESC, next_attempt_at)
    WHERE status = 'due' AND NOT queued AND concurrency_key IS NULL;
-- Serves pressed_keys and claim_pressed_runs: by key, then higher priority first, then the older.
CREATE INDEX runs_pressed ON runs (namespace, concurrency_key, priority DESC, next_attempt_at)
    WHERE status = 'due' AND NOT queued AND concurrency_key IS NOT NULL;
-- Serves running_of_keys: what counts against a limit of parallel calls.
CREATE INDEX runs_running_key ON runs (namespace, concurrency_key)
    WHERE status = 'running' AND concurrency_key IS NOT NULL;
