"""Which external calls are findings: what settings allow, deny and take as too short."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from helpers import ApiServer, FakeClock, assert_clean, assert_flagged, findings_of
from sqlalchemy import Engine, text

import txprof
from txprof import policy
from txprof.settings import Settings


def in_both(engine: Engine, kind: str = "mail", **settings: Any) -> list[str]:
    """The rules that fire for one call in a transaction and one merely held."""
    with txprof.profile(on_finding="ignore", **settings) as prof, engine.connect() as connection:
        with txprof.external_call(kind, "somewhere"):
            pass
        connection.execute(text("SELECT 1"))
        with txprof.external_call(kind, "somewhere"):
            pass
    return sorted(finding.rule for finding in prof.findings)


BOTH = ["io-in-transaction", "io-while-held"]


def test_a_kind_is_allowed_for_every_rule_or_for_one(engine: Engine) -> None:
    assert in_both(engine) == BOTH
    assert in_both(engine, allow_kinds=["mail"]) == []
    assert in_both(engine, allow_kinds=["io-while-held:mail"]) == ["io-in-transaction"]
    assert in_both(engine, allow_kinds=["io-while-held:cache", "queue"]) == BOTH


def test_a_kind_that_is_denied_is_not_allowed_by_the_rest_of_the_settings(engine: Engine) -> None:
    denied = ["io-in-transaction:mail"]
    assert in_both(engine, allow_kinds=["mail"], deny_kinds=denied) == ["io-in-transaction"]
    with txprof.allow_if(lambda _: True):
        assert in_both(engine, deny_kinds=["mail"]) == BOTH
    with txprof.allow("io-in-transaction", reason="said in the code, where it is"):
        assert in_both(engine, deny_kinds=["mail"]) == ["io-while-held"]


def test_a_host_is_allowed_or_denied_for_one_rule(engine: Engine, api: ApiServer) -> None:
    import httpx

    def flagged(**settings: Any) -> bool:
        with (
            txprof.profile(on_finding="ignore", **settings) as prof,
            engine.begin() as connection,
        ):
            connection.execute(text("SELECT 1"))
            httpx.get(api.url())
        return bool(findings_of(prof, "io-in-transaction"))

    assert flagged()
    assert not flagged(allow_hosts=[f"io-in-transaction:{api.host}"])
    assert flagged(allow_hosts=[f"io-while-held:{api.host}"])
    assert flagged(allow_hosts=["127.0.0.1"], deny_hosts=[api.host])
    assert not flagged(allow_hosts=["127.0.0.1"], deny_hosts=["127.0.0.2", "api.internal"])


# allow_if


@pytest.fixture
def asked() -> Iterator[list[txprof.Call]]:
    """The calls that a predicate is asked of; it allows what goes to "somewhere safe"."""
    calls: list[txprof.Call] = []

    def safe(call: txprof.Call) -> bool:
        calls.append(call)
        return call.target == "somewhere safe"

    with txprof.allow_if(safe, reason="it is safe"):
        yield calls
    assert policy.predicates == []


def test_a_predicate_lets_a_call_be(engine: Engine, asked: list[txprof.Call]) -> None:
    with txprof.profile(on_finding="raise") as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", "somewhere safe"):
            pass
        with pytest.raises(txprof.TransactionHygieneError):
            txprof.external_call("rpc", "somewhere else").__enter__()
    assert assert_flagged(prof, "io-in-transaction").details["target"] == "somewhere else"
    assert [(c.rule, c.kind, c.target) for c in asked] == [
        ("io-in-transaction", "rpc", "somewhere safe"),
        ("io-in-transaction", "rpc", "somewhere else"),
    ]
    assert asked[0].call_path[0].function == "test_a_predicate_lets_a_call_be"
    allowed = [row.allowed for row in prof.recorded.external_calls]
    assert sorted(allowed, key=str) == [None, "it is safe"]


def test_one_that_is_removed_is_asked_no_more(engine: Engine) -> None:
    predicate = txprof.allow_if(lambda call: call.rule == "io-while-held")
    assert in_both(engine) == ["io-in-transaction"]
    predicate.remove()
    predicate.remove()
    assert in_both(engine) == BOTH


def test_one_that_fails_allows_nothing_and_is_told_of_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: txprof.Call) -> bool:
        raise LookupError("of the user's own")

    with txprof.allow_if(broken):
        assert in_both(engine) == BOTH
    (record,) = [record for record in caplog.records if "allow_if" in record.getMessage()]
    assert record.levelname == "WARNING"
    assert "broken" in record.getMessage()


def test_what_a_predicate_itself_calls_is_no_call_of_the_program(
    engine: Engine, api: ApiServer
) -> None:
    import requests

    asked: list[str] = []

    def asks_a_service(call: txprof.Call) -> bool:
        asked.append(call.target)
        return requests.get(api.url(), timeout=5).text == "ok"

    with txprof.allow_if(asks_a_service), txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", "billing"):
            pass
    assert asked == ["billing"]
    assert [row.target for row in prof.recorded.external_calls] == ["billing"]
    assert_clean(prof)


def test_what_is_no_predicate_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a function of a call, not 'cache'"):
        txprof.allow_if("cache")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a reason"):
        txprof.allow_if(lambda _: True, reason=" ")
    assert policy.predicates == []


# min_ms


def lasting(engine: Engine, fake: FakeClock, *seconds: float, **settings: Any) -> txprof.Profile:
    """A profile of calls to the cache that take so long, from one line."""
    with txprof.profile(**settings) as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        for one in seconds:
            with txprof.external_call("cache", "GET"):
                fake.tick(one)
    return prof


def test_a_call_that_is_shorter_than_its_kinds_minimum_is_no_finding(
    engine: Engine, fake: FakeClock
) -> None:
    prof = lasting(engine, fake, 0.004, 0.003, min_ms=["cache=5"])
    assert_clean(prof)
    (row,) = prof.recorded.external_calls
    assert (row.allowed, row.count) == ("shorter than 5 ms", 2)
    assert row.seconds == pytest.approx(0.007)


def test_the_longer_ones_alone_count(engine: Engine, fake: FakeClock) -> None:
    prof = lasting(engine, fake, 0.004, 0.006, 0.1, 0.001, min_ms=["cache=5", "mail=1000"])
    finding = assert_flagged(prof, "io-in-transaction", count=2)
    assert finding.seconds == pytest.approx(0.106)
    assert sum(row.count for row in prof.recorded.external_calls) == 4


def test_under_raise_a_longer_one_is_warned_of_as_it_went_out(
    engine: Engine, fake: FakeClock
) -> None:
    with pytest.warns(txprof.TransactionHygieneWarning, match="cache GET"):
        prof = lasting(engine, fake, 0.1, min_ms=["cache=5"], on_finding="raise")
    assert_flagged(prof, "io-in-transaction", count=1)


def test_each_profile_has_its_own_minimum(engine: Engine, fake: FakeClock) -> None:
    counts = {}
    for seconds in (0.004, 0.006, 0.2):
        with txprof.profile(min_ms=["cache=100"], on_finding="ignore") as patient:
            prof = lasting(engine, fake, seconds, min_ms=["cache=5"], on_finding="ignore")
        counts[seconds] = [len(one.findings) for one in (prof, patient)]
    assert counts == {0.004: [0, 0], 0.006: [1, 0], 0.2: [1, 1]}


def test_a_body_that_takes_long_makes_its_call_long_enough(engine: Engine, fake: FakeClock) -> None:
    from txprof.sensors.external import Described, begin

    with txprof.profile(min_ms=["cache=5"]) as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        call = begin(Described("cache", "GET"))
        assert call is not None
        for part in (0.003, 0.004, 0.002):
            if not call.entered:
                call.enter()
            fake.tick(part)
            call.leave()
    finding = assert_flagged(prof, "io-in-transaction", count=1)
    assert finding.seconds == pytest.approx(0.009)


# What is no such setting


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allow_kinds": ["io-while-held:pigeon"]}, "allow_kinds: unknown kind 'pigeon'"),
        ({"allow_kinds": ["io-while-hold:mail"]}, "unknown kind 'io-while-hold:mail'"),
        ({"deny_kinds": ["pigeon"]}, "deny_kinds: unknown kind 'pigeon'"),
        ({"min_ms": ["pigeon=5"]}, "min_ms: unknown kind 'pigeon'"),
        ({"min_ms": ["cache"]}, "'kind=milliseconds', such as 'cache=5'"),
        ({"min_ms": ["cache=fast"]}, "'kind=milliseconds', such as 'cache=5'"),
    ],
)
def test_a_kind_or_number_that_is_none_is_an_error(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**settings)


def test_words_of_ones_own_are_kinds_everywhere() -> None:
    for name, entry in itertools.product(
        ("allow_kinds", "deny_kinds"), ("fax", "io-while-held:fax")
    ):
        assert getattr(Settings(kinds=("fax",), **{name: (entry,)}), name) == (entry,)
    assert Settings(kinds=("fax",), min_ms=("fax=2.5",)).min_ms == ("fax=2.5",)
