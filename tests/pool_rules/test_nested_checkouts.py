"""`nested-checkout`: who holds a connection asks for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from helpers import assert_clean, assert_flagged, findings_of, line_of
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from starved_pools import in_thread, line_in_file

import txprof


def test_a_thread_that_holds_a_connection_asks_for_another(
    make_small: Callable[..., Engine],
) -> None:
    engine = make_small(3)

    def number() -> object:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT 1"))

    with txprof.profile(on_finding="ignore") as prof, Session(engine) as session:
        session.execute(text("SELECT 1"))  # first
        number()  # mixes
        with engine.connect():
            number()
    nested = findings_of(prof, "nested-checkout")
    assert [finding.severity for finding in nested] == ["warning"] * 3
    mixing = line_of("mixes")
    (finding,) = [each for each in nested if each.site.line == mixing]
    assert finding.details["hold_site"].line == line_of("first")
    assert "threads x 1 + 1" in finding.hint
    assert max(each.details["held_at_once"] for each in nested) == 3


def test_another_engine_or_thread_is_no_nested_checkout(
    make_small: Callable[..., Engine],
) -> None:
    one, other = make_small(2), make_small(2)
    with txprof.profile(on_finding="ignore") as prof, one.connect():
        other.connect().close()
        in_thread(lambda: one.connect().close()).join()
    assert_clean(prof)


def test_a_pool_that_never_runs_out_cannot_deadlock(make_engine: Callable[..., Engine]) -> None:
    for engine in (make_engine(max_overflow=-1), make_engine(poolclass=NullPool)):
        with txprof.profile(on_finding="ignore") as prof, engine.connect():
            engine.connect().close()
        assert_clean(prof)


def test_a_task_that_holds_a_connection_asks_for_another(async_url: str) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(async_url, pool_size=2, max_overflow=0)

        async def other() -> None:
            async with engine.connect():
                pass

        with txprof.profile(on_finding="ignore") as prof:
            async with engine.connect():
                await asyncio.create_task(other())
                async with engine.connect():  # second
                    pass
        await engine.dispose()
        return prof

    assert_flagged(
        asyncio.run(main()), "nested-checkout", line=line_in_file("second", __file__), count=1
    )


def test_under_raise_a_nested_checkout_is_not_made(make_small: Callable[..., Engine]) -> None:
    engine = make_small(2)
    with (
        pytest.warns(txprof.TransactionHygieneWarning),
        txprof.profile(on_finding="raise"),
        engine.connect(),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        engine.connect()
    assert caught.value.finding.rule == "nested-checkout"
    assert txprof.pool_status(engine).connections == 1


def test_a_nested_checkout_is_allowed(make_small: Callable[..., Engine]) -> None:
    engine = make_small(2)
    with txprof.profile(on_finding="raise") as prof, engine.connect():
        engine.connect().close()  # txprof: allow[nested-checkout] the pool has two a thread
        with txprof.allow("nested-checkout", reason="the pool has two a thread"):
            engine.connect().close()
    assert_clean(prof)
