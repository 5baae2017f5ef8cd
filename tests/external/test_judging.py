"""Calls from one line, each judged by what is the case when it goes out."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
import requests
from helpers import ApiServer, assert_flagged, calls_seen, findings_of, line_of
from http_clients import transaction
from sqlalchemy import Engine, create_engine, text

import txprof
from txprof.collector import active
from txprof.locked import tables_of


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT"):
        yield


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE product SET name = 'four' WHERE id = 1"))
        yield


@contextmanager
def allowed(engine: Engine) -> Iterator[None]:
    with transaction(engine), txprof.allow("io-in-transaction", reason="on purpose"):
        yield


Case = Callable[[Engine], AbstractContextManager[Any]]


def nothing(_: Engine) -> AbstractContextManager[Any]:
    return nullcontext()


CASES: dict[Case, tuple[Any, ...]] = {
    nothing: ("free", (), None),
    held: ("held", (), None),
    transaction: ("transaction", (), None),
    locked: ("transaction", ("product",), None),
    allowed: ("transaction", (), "on purpose"),
}


@pytest.mark.parametrize("first", CASES)
@pytest.mark.parametrize("second", CASES)
def test_a_call_is_judged_by_its_own_case_and_not_by_the_one_before(
    engine: Engine, api: ApiServer, first: Case, second: Case
) -> None:
    cases = [first, second, first, second]
    with txprof.profile() as prof:
        for case in cases:
            with case(engine):
                requests.get(api.url(), timeout=5)
    counted = {
        (row.state, tables_of(row.locks), row.allowed): row.count
        for row in prof.recorded.external_calls
    }
    assert counted == {CASES[case]: cases.count(case) for case in cases}


# In these the transactions are opened at one line, too.


def test_a_call_is_counted_with_the_engine_of_its_own_transaction(
    engine: Engine, api: ApiServer
) -> None:
    other = create_engine("sqlite://")
    with txprof.profile() as prof:
        for each in (engine, other, engine):
            with transaction(each):
                requests.get(api.url(), timeout=5)
    other.dispose()
    engines = {row.engine: row.count for row in prof.recorded.external_calls}
    assert engines == {engine.url.render_as_string(): 2, "sqlite://": 1}


def test_a_call_tells_the_tables_that_its_own_transaction_locked(
    engine: Engine, api: ApiServer
) -> None:
    with txprof.profile() as prof:
        for locks in (False, True, False):
            with transaction(engine) as connection:
                if locks:
                    connection.execute(text("DELETE FROM product"))
                requests.get(api.url(), timeout=5)
    tables = {tables_of(row.locks): row.count for row in prof.recorded.external_calls}
    assert tables == {(): 2, ("product",): 1}


def test_a_call_is_allowed_by_what_allows_it_now(engine: Engine, api: ApiServer) -> None:
    with txprof.profile() as prof:
        for reason in (None, "on purpose", None, "for another"):
            allowing = txprof.allow("io-in-transaction", reason=reason) if reason else nullcontext()
            with transaction(engine), allowing:
                requests.get(api.url(), timeout=5)
    reasons = {row.allowed: row.count for row in prof.recorded.external_calls}
    assert reasons == {None: 2, "on purpose": 1, "for another": 1}


def test_calls_of_a_task_are_findings_at_each_line_that_waits_for_it(
    engine: Engine, api: ApiServer
) -> None:
    async def child() -> None:
        requests.get(api.url(), timeout=5)

    async def owner() -> None:
        with transaction(engine):
            await asyncio.create_task(child())  # first
            await asyncio.create_task(child())  # second

    with txprof.profile() as prof:
        asyncio.run(owner())
    lines = [finding.site.line for finding in findings_of(prof, "io-in-transaction")]
    assert sorted(lines) == [line_of("first"), line_of("second")]


def test_a_call_of_the_holder_and_one_of_its_task_are_findings_of_their_own(
    engine: Engine, api: ApiServer
) -> None:
    async def work(*, holds: bool) -> None:
        with transaction(engine) if holds else nullcontext():
            requests.get(api.url(), timeout=5)  # call
            if holds:
                await asyncio.create_task(work(holds=False))  # wait

    with txprof.profile() as prof:
        asyncio.run(work(holds=True))
    lines = [finding.site.line for finding in findings_of(prof, "io-in-transaction")]
    assert sorted(lines) == [line_of("call"), line_of("wait")]


def test_calls_from_one_line_count_for_each_of_their_targets(
    engine: Engine, api: ApiServer
) -> None:
    with txprof.profile() as prof, transaction(engine):
        for path in ("/a", "/b", "/a"):
            requests.get(api.url(path), timeout=5)
    assert calls_seen(prof) == [
        ("http", f"GET {api.url('/a')}", 2),
        ("http", f"GET {api.url('/b')}", 1),
    ]
    assert len(findings_of(prof, "io-in-transaction")) == 2


def test_calls_from_one_line_count_for_each_profile_that_watches(
    engine: Engine, api: ApiServer
) -> None:
    with txprof.profile() as outer:
        for _ in range(2):
            with txprof.profile() as inner, transaction(engine):
                requests.get(api.url(), timeout=5)
            assert_flagged(inner, "io-in-transaction", count=1)
    assert_flagged(outer, "io-in-transaction", count=2)


def test_calls_from_one_line_in_many_threads_are_all_counted(api: ApiServer) -> None:
    def work(_: int) -> None:
        for _ in range(5):
            requests.get(api.url(), timeout=5)

    with txprof.profile() as prof, ThreadPoolExecutor(4) as executor:
        for _ in range(2):
            list(executor.map(work, range(8)))
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 80)]


def test_every_call_of_one_line_raises_under_raise(engine: Engine, api: ApiServer) -> None:
    raised = []
    with txprof.profile(on_finding="raise"), transaction(engine):
        for _ in range(3):
            with (
                pytest.warns(txprof.TransactionHygieneWarning),
                pytest.raises(txprof.TransactionHygieneError) as caught,
            ):
                requests.get(api.url(), timeout=5)
            raised.append(caught.value.finding)
    assert [finding.count for finding in raised] == [1, 1, 1]


def test_each_profile_of_many_counts_its_own(engine: Engine, api: ApiServer) -> None:
    for _ in range(20):  # one may get the place in memory that another had
        with txprof.profile() as prof, transaction(engine):
            requests.get(api.url(), timeout=5)
        assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]
        del prof
        gc.collect()


def test_a_profile_that_is_gone_is_not_kept(engine: Engine, api: ApiServer) -> None:
    with txprof.profile() as prof, transaction(engine):
        requests.get(api.url(), timeout=5)
        watcher = weakref.ref(active()[0])
    del prof
    gc.collect()
    assert watcher() is None
