"""The ways a planner may go, to be forced one after the other."""

from scheduler_svc.store.pool import Connection

# Whatever the planner may choose on one server or another, a claim's limit is to hold.
PLANS: dict[str, list[str]] = {
    "as it likes": [],
    "nested loops": ["hashjoin", "mergejoin", "seqscan", "bitmapscan", "material", "memoize"],
    "hash joins": ["nestloop", "mergejoin", "indexscan", "bitmapscan", "indexonlyscan"],
    "merge joins": ["nestloop", "hashjoin", "bitmapscan"],
}


async def force(conn: Connection, plan: str) -> None:
    """Make the planner go this way until the transaction ends."""
    for path in PLANS[plan]:
        await conn.execute(f"SET LOCAL enable_{path} = off")
    await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
