"""The plans of scenarios are held against what they say, without playing any."""

from collections import Counter
from datetime import datetime, timedelta
from random import Random

import pytest

from chaos.mutations import MUTATIONS, ROOT, Mutation
from chaos.rig.plan import Scenario
from chaos.rig.turns import ALL_ACTS
from chaos.scenarios import SCENARIOS
from chaos.turns import BEFORE_NIGHT, NIGHTS
from domain.brute import rules


def test_scenarios_have_names_of_their_own_and_steps_that_are_known() -> None:
    assert max(Counter(one.name for one in SCENARIOS).values()) == 1
    for one in SCENARIOS:
        assert {step.act for step in one.steps(Random(1))} <= ALL_ACTS.keys(), one.name


@pytest.mark.parametrize("night", NIGHTS, ids=[one.name for one in NIGHTS])
def test_a_night_is_one_in_which_the_offset_of_its_zone_changes(night: Scenario) -> None:
    zone = rules(night.says.split()[0])
    instant = datetime.fromisoformat(night.dated) + BEFORE_NIGHT
    before, after = (instant - timedelta(seconds=1)).astimezone(zone), instant.astimezone(zone)
    assert before.utcoffset() != after.utcoffset()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_what_a_mutation_takes_away_stands_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
