-- What callers have left of their budgets.

-- spend_tokens(client, budget, spent, per_second, burst)
-- Takes what a replica let pass since it last asked, and tells what is left over all of them. More
-- may be gone than there was: the debt is paid before anything passes again. The server's clock counts.
INSERT INTO rate_buckets AS b (client, budget, tokens, seen_at)
VALUES ($1, $2, $5::float8 - $3::float8, clock_timestamp())
ON CONFLICT (client, budget) DO UPDATE
SET tokens = greatest(
        -2 * $5::float8,
        least($5::float8, b.tokens + $4::float8 * greatest(0, extract(epoch FROM clock_timestamp() - b.seen_at)))
            - $3::float8
    ),
    seen_at = greatest(b.seen_at, clock_timestamp())
RETURNING tokens;

-- prune_rate_buckets(before, batch)
-- Buckets that have long been full again.
WITH old AS MATERIALIZED (
    SELECT client, budget FROM rate_buckets
    WHERE seen_at < $1 ORDER BY seen_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM rate_buckets AS b
USING old
WHERE old.client || '' = old.client -- one_row, see settle_runs
    AND b.client = old.client AND b.budget = old.budget;
