"""One contract for every client: one logical call is one call, and nothing else changes.

That of the HTTP clients, which has more to say, is in `test_http_contract.py`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from helpers import assert_flagged, calls_seen, findings_of, line_of
from http_clients import everything_said, outcome, transaction
from situations import SITUATIONS, Seen, Situation
from sqlalchemy import Engine

import txprof

LEFT_OPEN = pytest.mark.filterwarnings("ignore::ResourceWarning")
"""Many clients leave a socket open when they give up, some always."""


@pytest.fixture(
    params=[
        pytest.param(each, marks=LEFT_OPEN if each.server in ("nowhere", "silent", "mqtt") else ())
        for each in SITUATIONS
    ],
    ids=str,
)
def situation(request: pytest.FixtureRequest) -> Situation:
    found: Situation = request.param
    return found


@pytest.fixture
def server(request: pytest.FixtureRequest, situation: Situation) -> Any:
    return request.getfixturevalue(situation.server)


def each(profile: txprof.Profile) -> Seen:
    """The external calls, one by one, in order."""
    return [(kind, target) for kind, target, count in calls_seen(profile) for _ in range(count)]


def assert_comes_to(expected: Any, outcome: Any) -> None:
    """A call that fails for another reason would fail with txprof too, and prove nothing."""
    if expected is ...:
        return
    how, what = outcome
    if isinstance(expected, type) and issubclass(expected, BaseException):
        assert how == "raised", outcome
        assert issubclass(what[0][0], expected), outcome
    else:
        assert (how, what) == ("returned", expected), outcome


def test_a_call_in_a_transaction_is_seen_and_returns_and_raises_what_it_does_without_txprof(
    engine: Engine, situation: Situation, server: Any, tmp_path: Path
) -> None:
    call = functools.partial(situation.call, server)
    txprof.uninstall()
    without = outcome(call)
    assert_comes_to(situation.comes_to, without)
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        watched = outcome(call)  # call
    assert watched == without
    seen = situation.seen(server)
    assert [
        (kind, target) for kind, target, count in calls_seen(prof) for _ in range(count)
    ] == seen
    if len(seen) == 1:
        assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    found = findings_of(prof, "io-in-transaction")
    assert sorted(f.details["target"] for f in found) == sorted({target for _, target in seen})
    assert "secret" not in everything_said(prof, tmp_path)


def test_a_call_after_a_transaction_is_seen_and_no_finding(
    engine: Engine, situation: Situation, server: Any
) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        with transaction(engine):
            pass
        outcome(functools.partial(situation.call, server))
    seen = situation.seen(server)
    assert [
        (kind, target) for kind, target, count in calls_seen(prof) for _ in range(count)
    ] == seen
    assert findings_of(prof, "io-in-transaction") == findings_of(prof, "io-while-held") == []
