"""Whatever breaks of what all sensors rest on, the program goes on as it does without txprof."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from breaking import Broken, noted, run
from helpers import calls_seen
from sqlalchemy import Engine, text

import txprof
from txprof import callsite, collector, context, rules
from txprof.sensors import external, going_on, placing, transactions
from txprof.sensors.external import Described, watched, watched_coroutine

pytestmark = [pytest.mark.breaks_a_sensor, pytest.mark.usefixtures("anew")]


def _broken(*_: Any, **__: Any) -> Any:
    raise Broken("of txprof's own")


INTERNALS = [
    (context, "open_here"),
    (context, "undecided_here"),
    (context, "deciding"),
    (context, "judging_here"),
    (context, "call_path"),
    (callsite, "path"),
    (external, "minimum"),
    (transactions, "called"),
    (rules.external_io, "rule_of"),
    (rules.external_io, "finding_of"),
    (collector.Collector, "call"),
]


@pytest.mark.parametrize(
    ("place", "name"), INTERNALS, ids=lambda part: getattr(part, "__name__", part)
)
@pytest.mark.parametrize("action", ["log", "raise"])
def test_what_breaks_inside_costs_the_program_nothing(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Any,
    name: str,
    action: str,
) -> None:
    result = object()

    def describe(*_: Any) -> Described:
        return Described("rpc", "billing")

    async def coroutine() -> object:
        return result

    class Stream:
        @placing_method
        def read(self) -> object:
            return result

    stream = Stream()
    call = watched(describe, lambda _: (stream,))
    call_async = watched_coroutine(describe)
    with contextlib.ExitStack() as stack:
        stack.enter_context(txprof.profile(on_finding=action, locks="inspect"))
        connection = stack.enter_context(engine.connect())
        connection.execute(text("SELECT 1"))
        patch = stack.enter_context(monkeypatch.context())
        patch.setattr(place, name, _broken)
        with contextlib.suppress(txprof.TransactionHygieneError, txprof.TransactionHygieneWarning):
            assert call(lambda: result, None, (), {}) is result
            assert stream.read() is result
            assert run(call_async(coroutine, None, (), {})) is result
    noted_or_told = [record.levelname for record in caplog.records if record.name == "txprof"]
    assert "ERROR" not in noted_or_told


def placing_method(function: Any) -> Any:
    """A method that a call goes on in."""
    return placing.Sensor(function, going_on.goes_on(), object, inherited=False)


# --- a part that fails again and again ----------------------------------------------------------


def asked_of(answers: list[bool]) -> tuple[list[int], list[tuple[str, str, int]]]:
    """How often a description is asked, that fails where `answers` says so; what is seen."""
    asked: list[int] = []

    def describe(*_: Any) -> Described:
        asked.append(len(asked))
        if not answers[len(asked) - 1]:
            raise Broken
        return Described("rpc", "billing")

    call = watched(describe)
    with txprof.profile() as prof:
        for _ in answers:
            assert call(lambda: "result", None, (), {}) == "result"
    return asked, calls_seen(prof)


def test_a_description_that_always_fails_is_asked_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, seen = asked_of([False] * 10)
    assert (len(asked), seen) == (3, [])
    assert len(noted(caplog)) == 1


def test_one_that_failed_once_is_asked_again() -> None:
    asked, seen = asked_of([True, False, False, True, False, False, True])
    assert (len(asked), seen) == (7, [("rpc", "billing", 3)])


def test_what_is_noted_says_where_and_not_what(caplog: pytest.LogCaptureFixture) -> None:
    def describe(_: Any, args: tuple[Any, ...], __: Any) -> Described:
        raise ValueError(f"no such port: {args[0]}")

    with txprof.profile():
        assert watched(describe)(lambda password: password, None, ("hunter2",), {}) == "hunter2"
    (record,) = [record for record in caplog.records if record.name == "txprof"]
    assert "ValueError at " in record.getMessage()
    assert f"{__file__}:" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert record.exc_info is None
