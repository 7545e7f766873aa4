-- What each caller has left of its budgets, over all replicas. Not worth a log: after a crash of the
-- server everybody begins with a full bucket. Locked alone.

CREATE UNLOGGED TABLE rate_buckets (
    client  text             NOT NULL,
    budget  text             NOT NULL,
    tokens  double precision NOT NULL,
    seen_at timestamptz      NOT NULL,
    PRIMARY KEY (client, budget)
) WITH (fillfactor = 50);

-- Serves prune_rate_buckets.
CREATE INDEX rate_buckets_age ON rate_buckets (seen_at);
