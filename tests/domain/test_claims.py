"""Claims: when a token counts, and whom it stands for."""

from typing import Any

import pytest

from scheduler_svc.domain.claims import ClaimRules, ClaimsRefused, caller_of

NOW = 1_767_600_000
RULES = ClaimRules(leeway_seconds=30)
GOOD: dict[str, Any] = {
    "iss": "https://id.test",
    "sub": "alice",
    "exp": NOW + 300,
    "scope": "jobs:read",
}


def judge(**changes: Any) -> Any:
    claims = {**GOOD, **changes}
    return caller_of(
        {name: value for name, value in claims.items() if value is not ...},
        RULES,
        now_ms=NOW * 1000,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"exp": NOW + 0.5},
        {"exp": NOW - 29},
        {"nbf": NOW + 30},
        {"iat": NOW + 30, "nbf": NOW},
        {"exp": 253_402_300_799},
    ],
)
def test_a_token_counts_between_its_times_give_or_take_the_leeway(changes: dict[str, Any]) -> None:
    assert judge(**changes).name == "alice"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 30},
        {"exp": NOW - 3600},
        {"exp": ...},
        {"exp": None},
        {"exp": str(NOW + 300)},
        {"exp": True},
        {"exp": [NOW + 300]},
        {"exp": 10**20},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": -1},
        {"nbf": NOW + 31},
        {"nbf": "soon"},
        {"iat": NOW + 31},
        {"iat": None},
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"namespace": ["team-a"]},
        {"namespace": ""},
        {"namespace": "Team"},
        {"namespace": "**"},
        {"namespace": "a\n"},
        {"scope": 7},
        {"scope": {"jobs:read": True}},
    ],
)
def test_any_other_does_not(changes: dict[str, Any]) -> None:
    with pytest.raises(ClaimsRefused):
        judge(**changes)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("openid jobs:read profile", {"jobs:read"}),
        (["jobs:read", "runs:read", 7, "jobs:delete"], {"jobs:read", "runs:read"}),
        ("admin", {"admin"}),
        ("", set()),
        ("jobs:readx jobs:rea", set()),
    ],
)
def test_scopes_are_words_of_ours_and_no_others(scope: Any, scopes: set[str]) -> None:
    assert judge(scope=scope).scopes == scopes


@pytest.mark.parametrize(
    ("namespace", "found"), [(..., "default"), (None, "default"), ("team-a", "team-a"), ("*", "*")]
)
def test_the_namespace_is_that_of_the_claim_and_never_all_by_default(
    namespace: Any, found: str
) -> None:
    assert judge(scope="", namespace=namespace).namespace == found


def test_two_subjects_and_two_issuers_are_two_callers() -> None:
    one = judge(scope="")
    assert one.id != judge(scope="", sub="bob").id
    assert one.id != judge(scope="", iss="https://other.test").id


def test_the_claims_of_the_settings_are_read() -> None:
    rules = ClaimRules(namespace_claim="team", scope_claim="scp")
    claims = {**GOOD, "team": "team-a", "scp": ["jobs:read"], "namespace": "*", "scope": "admin"}
    found = caller_of(claims, rules, now_ms=NOW * 1000)
    assert found.namespace == "team-a"
    assert found.scopes == {"jobs:read"}
