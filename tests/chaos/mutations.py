"""Breaks one guard after another in a copy of the tree, and shows that tests fail without it.

    python tests/chaos/mutations.py [NAME ...]

A mutation is a text that stands once in a file, what to put in its place, and the tests that must
notice; `play:NAME` among these is a scenario of the chaos suite. Leaves the tree itself alone. Exit
code 1 where a broken guard went unnoticed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SQL = "src/scheduler_svc/store/sql"
ENGINE = "src/scheduler_svc/engine"
STORE_TESTS = ("tests/store/test_timers.py", "tests/store/test_claims.py")
LIMIT_TESTS = ("tests/engine/test_key_limits.py",)
BREAKER_TESTS = ("tests/engine/test_breaker.py",)
SHARE_TESTS = ("tests/engine/test_key_share.py",)
SEED = "7"
SETTLE_TESTS = ("tests/store/test_settlements.py", "tests/engine/test_lease.py")


MACHINE = ("tests/chaos/test_steps.py",)


class Mutation(NamedTuple):
    """One guard taken away."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "the fence without the attempt",
        f"{SQL}/settle.sql",
        "AND r.attempt_count = s.attempt\n",
        "\n",
        SETTLE_TESTS,
    ),
    Mutation(
        "the fence without the state",
        f"{SQL}/settle.sql",
        "AND r.attempt_count = s.attempt\n    AND r.status || '' = 'running'",
        "AND r.attempt_count = s.attempt",
        SETTLE_TESTS,
    ),
    Mutation(
        "the fence of plain ends without the attempt",
        f"{SQL}/settle.sql",
        "AND r.id = s.id AND r.attempt_count = 1\n",
        "AND r.id = s.id\n",
        SETTLE_TESTS,
    ),
    Mutation(
        "the fence of plain ends without the state",
        f"{SQL}/settle.sql",
        "AND r.attempt_count = 1\n    AND r.status || '' = 'running'",
        "AND r.attempt_count = 1",
        SETTLE_TESTS,
    ),
    Mutation(
        "a plain claim that is held though its timer is gone",
        "src/scheduler_svc/store/timers.py",
        '    if int(done.rsplit(" ", 1)[-1]) != len(plain):\n        raise Contested\n',
        "",
        STORE_TESTS,
    ),
    Mutation(
        "a run id that is not of its occurrence",
        "src/scheduler_svc/domain/ids.py",
        "digest = sha256(\n        job_id.bytes",
        "digest = sha256(\n        __import__('os').urandom(8) + job_id.bytes",
        ("tests/domain/test_ids.py", "tests/engine/test_claim.py"),
    ),
    Mutation(
        "a ledger without its primary key",
        "migrations/0001_jobs_timers_runs_replicas.sql",
        "PRIMARY KEY (scheduled_for, id)",
        "CHECK (true)",
        STORE_TESTS,
    ),
    Mutation(
        "an occurrence that is there already as an error",
        f"{SQL}/tick.sql",
        "concurrency_key, deferral\n)\nON CONFLICT DO NOTHING\nRETURNING id",
        "concurrency_key, deferral\n)\nRETURNING id",
        STORE_TESTS,
    ),
    Mutation(
        "a claim that goes on though a row of it was there already",
        f"{ENGINE}/tick.py",
        "if not contested and len(written) <",
        "if False and len(written) <",
        ("tests/engine/test_put_back.py",),
    ),
    Mutation(
        "the claim of timers without SKIP LOCKED",
        f"{SQL}/tick.sql",
        "LIMIT $4\nFOR UPDATE SKIP LOCKED",
        "LIMIT $4\nFOR UPDATE",
        STORE_TESTS,
    ),
    Mutation(
        "the claim of timers without a lock",
        f"{SQL}/tick.sql",
        "LIMIT $4\nFOR UPDATE SKIP LOCKED",
        "LIMIT $4",
        STORE_TESTS,
    ),
    Mutation(
        "the claim of waiting runs without SKIP LOCKED",
        f"{SQL}/tick.sql",
        "LIMIT $2\n        FOR UPDATE SKIP LOCKED",
        "LIMIT $2\n        FOR UPDATE",
        STORE_TESTS,
    ),
    Mutation(
        "a rescue that leaves the attempt as it was not lost",
        f"{SQL}/upkeep.sql",
        "WHERE p.lease_until < $1\n    LIMIT $2",
        "WHERE p.lease_until < $1 + interval '1 hour'\n    LIMIT $2",
        ("tests/store/test_replicas.py", "tests/engine/test_lease.py"),
    ),
    Mutation(
        "sending without a look at the lease",
        f"{ENGINE}/dispatch.py",
        "    if not parts.lease.held:\n",
        "    if False:\n",
        ("tests/engine/test_lease.py",),
    ),
    Mutation(
        "sending as soon as it is claimed",
        f"{ENGINE}/hand.py",
        "while self._instants and self._instants[0] <= now_ms:",
        "while self._instants:",
        ("tests/engine/test_claim.py",),
    ),
    Mutation(
        "forgetting what the timer has left behind",
        f"{SQL}/settle.sql",
        "AND EXISTS (\n                SELECT 1 FROM job_timers AS t JOIN jobs AS j",
        "AND false AND EXISTS (\n                SELECT 1 FROM job_timers AS t JOIN jobs AS j",
        ("tests/engine/test_lease.py",),
    ),
    Mutation(
        "a new lease as a right to old runs",
        f"{ENGINE}/upkeep.py",
        "        _lapse(parts, outbox)\n",
        "        pass\n",
        ("tests/engine/test_lease.py",),
    ),
    Mutation(
        "a limit that is looked at without the lock of its row",
        f"{SQL}/pressure.sql",
        "FOR UPDATE OF c SKIP LOCKED;",
        ";",
        LIMIT_TESTS,
    ),
    Mutation(
        "a replica that waits for another at a key",
        f"{SQL}/pressure.sql",
        "FOR UPDATE OF c SKIP LOCKED;",
        "FOR UPDATE OF c;",
        LIMIT_TESTS,
    ),
    Mutation(
        "a limit of calls at once that does not count those of others",
        f"{ENGINE}/pressed.py",
        "running=running.get(key, 0)",
        "running=0",
        LIMIT_TESTS,
    ),
    Mutation(
        "a rate that forgets the last call",
        "src/scheduler_svc/domain/pressure.py",
        "following = max(free_ms or 0.0, 0.0)",
        "following = 0.0",
        LIMIT_TESTS,
    ),
    Mutation(
        "calls laid out without a spare",
        "src/scheduler_svc/domain/pressure.py",
        "SPARE_MS = 25.0",
        "SPARE_MS = -25.0",
        LIMIT_TESTS,
    ),
    Mutation(
        "calls under way that a new limit does not count",
        f"{ENGINE}/keys.py",
        "    if calls:\n",
        "    if False:\n",
        LIMIT_TESTS,
    ),
    Mutation(
        "limits that are only heard of by notice",
        f"{ENGINE}/keys.py",
        "monotonic > pressure.read_at + READ_SECONDS",
        "False",
        LIMIT_TESTS,
    ),
    Mutation(
        "what waits under a key in the way of the others",
        f"{SQL}/tick.sql",
        "NOT r.queued AND r.concurrency_key IS NULL\n            AND r.priority = levels.priority"
        " AND r.next_attempt_at <= $1",
        "NOT r.queued\n            AND r.priority = levels.priority AND r.next_attempt_at <= $1",
        (*LIMIT_TESTS, *SHARE_TESTS),
    ),
    Mutation(
        "a probe that is not written down",
        f"{ENGINE}/granted.py",
        "    await breakers.start_probe(conn, key, claim.id, lost_ms=lost_ms)\n",
        "    _ = lost_ms\n",
        BREAKER_TESTS,
    ),
    Mutation(
        "as many probes as there are runs",
        f"{ENGINE}/granted.py",
        "elif grants[run.key].probe and run.key in going:",
        "elif False:",
        BREAKER_TESTS,
    ),
    Mutation(
        "probes that come no more seldom",
        f"{ENGINE}/keys.py",
        "wait_after(opens + 1)",
        "wait_after(1)",
        BREAKER_TESTS,
    ),
    Mutation(
        "a deferred run without a bound",
        f"{ENGINE}/granted.py",
        "elif (over := _over(run, job, now_ms)) is not None:",
        "elif (over := _over(run, job, 0)) is not None:",
        BREAKER_TESTS,
    ),
    Mutation(
        "a deferral that counts as an attempt",
        f"{SQL}/pressure.sql",
        "attempt_count - 1,\n    replica = NULL,\n    concurrency_key",
        "attempt_count,\n    replica = NULL,\n    concurrency_key",
        (*LIMIT_TESTS, *BREAKER_TESTS),
    ),
    Mutation(
        "held runs that an open breaker does not take back",
        f"{ENGINE}/keys.py",
        "return not held.claim.probe",
        "return False",
        BREAKER_TESTS,
    ),
    Mutation(
        "waiting runs that do not say that they wait for the breaker",
        f"{ENGINE}/keys.py",
        "parts.pressure.opened.add(key)",
        "pass",
        BREAKER_TESTS,
    ),
    Mutation(
        "a host that may have every slot",
        f"{ENGINE}/pressure.py",
        "return min(free, max(1, int((free + held) * share)) - held)",
        "return free",
        SHARE_TESTS,
    ),
    Mutation(
        "a burst of a quick host that is written down",
        f"{ENGINE}/placing.py",
        "if quick and timer.fire_ms > self.now_ms - LEFT_MS_MAX:",
        "if False:",
        SHARE_TESTS,
    ),
    Mutation(
        "a waiting run that keeps the key of a target that was edited",
        "src/scheduler_svc/api/job_change.py",
        "if locked.job.definition.target != after.definition.target:",
        "if False:",
        ("tests/api/test_concurrency_keys.py",),
    ),
    Mutation(
        "safety: the fence",
        f"{SQL}/settle.sql",
        "AND r.attempt_count = s.attempt\n    AND r.status || '' = 'running'",
        "",
        MACHINE,
    ),
    Mutation(
        "safety: the look at the lease",
        f"{ENGINE}/lease.py",
        "self._until, sent + self.seconds - MARGIN_SECONDS)",
        'self._until, float("inf"))',
        ("play:deaf",),
    ),
    Mutation(
        "safety: the look at the lease in the moment of writing",
        "src/scheduler_svc/delivery/connection.py",
        "if call.may_write is not None and not call.may_write():",
        "if False:",
        ("tests/engine/test_lease.py",),
    ),
    Mutation(
        "safety: skip locked, and the lock",
        f"{SQL}/tick.sql",
        "LIMIT $2\n        FOR UPDATE SKIP LOCKED",
        "LIMIT $2",
        ("play:callers",),
    ),
    Mutation(
        "safety: the unique id",
        "src/scheduler_svc/domain/ids.py",
        "digest = sha256(\n        job_id.bytes",
        "digest = sha256(\n        __import__('os').urandom(8) + job_id.bytes",
        ("play:callers",),
    ),
    Mutation(
        "safety: the clock of the database",
        f"{ENGINE}/clock.py",
        "at = now.timestamp()",
        "at = time.time()",
        ("play:clocks",),
    ),
    Mutation(
        "safety: a step of the clock proves nobody dead",
        f"{ENGINE}/upkeep.py",
        "        heart.gap_ended = received\n",
        "        pass\n",
        ("tests/engine/test_clock_set.py",),
    ),
    Mutation(
        "safety: the time-out of idle transactions",
        "src/scheduler_svc/store/pool.py",
        "idle_in_transaction_ms: int = 5_000,",
        "idle_in_transaction_ms: int = 0,",
        ("play:C06",),
    ),
    Mutation(
        "safety: the timeline of the server",
        "src/scheduler_svc/store/lineage.py",
        'if row["line"] < newest:',
        "if False:",
        ("tests/store/test_lineage.py",),
    ),
    Mutation(
        "safety: each host's own time",
        "src/scheduler_svc/store/hosts.py",
        "self._places = places_of(dsn)",
        "self._places: list[Place] = []",
        ("tests/store/test_hosts.py",),
    ),
)


def main(names: list[str]) -> int:
    """Try the named mutations, or all of them; report each."""
    unnoticed = []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "tree"
        for mutation in MUTATIONS:
            if names and mutation.name not in names:
                continue
            noticed = _tried(mutation, copy)
            print(f"{'noticed  ' if noticed else 'UNNOTICED'}  {mutation.name}", flush=True)
            if not noticed:
                unnoticed.append(mutation.name)
    return 1 if unnoticed else 0


def _tried(mutation: Mutation, copy: Path) -> bool:
    """Break a fresh copy and run the tests on it; True where they fail."""
    shutil.rmtree(copy, ignore_errors=True)
    left_out = shutil.ignore_patterns(".*", "__pycache__", "dist", "build")
    shutil.copytree(ROOT, copy, ignore=left_out)
    broken = copy / mutation.file
    text = broken.read_text()
    if text.count(mutation.old) != 1:
        raise SystemExit(f"'{mutation.name}' does not stand once in {mutation.file}")
    broken.write_text(text.replace(mutation.old, mutation.new))
    # The copy comes before the tree that is installed for editing.
    env = os.environ | {"PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    plays = [test.removeprefix("play:") for test in mutation.tests if test.startswith("play:")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *mutation.tests]
    if plays:
        command = [sys.executable, "tests/chaos/play.py", "--seed", SEED, *plays]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
    broke_off = "Traceback" in done.stderr or (plays and "it broke off" in done.stdout)
    if done.returncode not in {0, 1} or broke_off:
        raise SystemExit(f"'{mutation.name}': the tests did not run\n{done.stdout}{done.stderr}")
    if plays:
        print(done.stdout, flush=True)
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
