"""Each operation that honours an Idempotency-Key keeps its answer beside its effect."""

import inspect
import sys

import pytest

from scheduler_svc.api.route import Route
from scheduler_svc.api.routes import ROUTES

KEYED = [route for route in ROUTES if route.takes_key]


@pytest.mark.parametrize("route", KEYED, ids=lambda route: route.operation_id)
def test_a_route_that_takes_a_key_keeps_its_answer_in_the_transaction_of_its_effect(
    route: Route,
) -> None:
    """Say `idempotent=False` on a route that shows a secret once: what is kept is stored."""
    text = inspect.getsource(sys.modules[route.handler.__module__])
    assert "with writing(call" in text
    assert "await keep(conn, call, " in text


def test_what_creates_takes_a_key() -> None:
    named = {"create_job", "trigger_job", "create_backfill", "replay_run"}
    assert named <= {route.operation_id for route in KEYED}
