"""Tasks and threads that inherit an open transaction.

They are judged by it only while its owner waits for them, at the line where it waits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextvars import ContextVar
from typing import Any

import pytest
from helpers import assert_clean, assert_flagged, call, calls_seen, line_of
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import txprof
from txprof.sensors import judging


@pytest.fixture
def prof() -> Iterator[txprof.Profile]:
    with txprof.profile(on_finding="ignore") as prof:
        yield prof


# Threads


def joined_thread() -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()  # call


def mapped() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(call, ["billing", "billing"]))  # call


def submitted() -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(slow_call)
        future.result()  # call


def waited_for() -> None:
    with ThreadPoolExecutor(1) as pool:
        futures = [pool.submit(slow_call)]
        wait(futures)  # call


def completed() -> None:
    with ThreadPoolExecutor(1) as pool:
        for _ in as_completed([pool.submit(slow_call)]):  # call
            pass


class Subclass(threading.Thread):
    def run(self) -> None:
        slow_call()


def joined_subclass() -> None:
    thread = Subclass()
    thread.start()
    thread.join()  # call


def slow_call() -> None:
    with txprof.external_call("rpc", "billing"):
        time.sleep(0.02)  # what is called takes its time


THREADS = [joined_thread, mapped, submitted, waited_for, completed, joined_subclass]


@pytest.mark.parametrize("work", THREADS, ids=lambda f: f.__name__)
def test_threads_that_the_owner_waits_for_are_in_its_transaction(
    engine: Engine, prof: txprof.Profile, work: Callable[[], None]
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        work()  # here
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("here"))
    assert any(f" {work.__name__}" in frame for frame in finding.details["call_path"])


@pytest.mark.parametrize("work", THREADS, ids=lambda f: f.__name__)
def test_the_same_threads_without_a_transaction_are_clean(
    prof: txprof.Profile, work: Callable[[], None]
) -> None:
    work()
    assert prof.external_calls == (2 if work is mapped else 1)
    assert_clean(prof)


def test_a_thread_whose_owner_goes_on_working_is_clean(
    engine: Engine, prof: txprof.Profile
) -> None:
    called = False

    def job() -> None:
        nonlocal called
        slow_call()
        called = True

    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        thread = threading.Thread(target=job)
        thread.start()
        while not called:
            sum(range(1000))  # the owner works
    thread.join()
    assert_clean(prof)


@pytest.mark.usefixtures("prof")
def test_a_thread_keeps_its_own_context_variables() -> None:
    mine: ContextVar[str] = ContextVar("mine", default="default")
    mine.set("set")
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(mine.get()))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        seen.append(pool.submit(mine.get).result())
    assert seen == ["default", "default"]
    assert "run" not in vars(thread)


def test_a_decorated_function_watches_the_threads_it_starts() -> None:
    @txprof.profile(report=None, on_finding="ignore")
    def work() -> None:
        joined_thread()

    work()
    calls = work.__txprof__.recorded.external_calls  # type: ignore[attr-defined]
    assert [(row.target, row.count) for row in calls] == [("billing", 1)]


# asyncio


def run(url: str, work: Callable[[AsyncConnection], Awaitable[Any]]) -> None:
    """Run it inside a transaction."""

    async def main() -> None:
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 1"))
                await work(connection)
        finally:
            await engine.dispose()

    asyncio.run(main())


async def async_call() -> None:
    async with txprof.external_call("rpc", "billing"):
        await asyncio.sleep(0.005)


async def direct(_: AsyncConnection) -> None:
    await async_call()


async def gathered(_: AsyncConnection) -> None:
    await asyncio.gather(async_call(), async_call())


async def awaited_task(_: AsyncConnection) -> None:
    await asyncio.create_task(async_call())


async def task_group(_: AsyncConnection) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(async_call())


async def with_timeout(_: AsyncConnection) -> None:
    await asyncio.wait_for(async_call(), 5)


async def shielded(_: AsyncConnection) -> None:
    await asyncio.shield(async_call())


async def as_they_complete(_: AsyncConnection) -> None:
    for each in asyncio.as_completed([async_call()]):
        await each


async def waited(_: AsyncConnection) -> None:
    await asyncio.wait([asyncio.create_task(async_call())])


async def nested_tasks(_: AsyncConnection) -> None:
    async def middle() -> None:
        await asyncio.gather(async_call())

    await asyncio.create_task(middle())


async def to_thread(_: AsyncConnection) -> None:
    await asyncio.to_thread(slow_call)


async def in_executor(_: AsyncConnection) -> None:
    await asyncio.get_running_loop().run_in_executor(None, slow_call)


async def run_sync(connection: AsyncConnection) -> None:
    await connection.run_sync(lambda _: slow_call())


@pytest.mark.parametrize(
    "work",
    [
        direct,
        gathered,
        awaited_task,
        task_group,
        with_timeout,
        shielded,
        as_they_complete,
        waited,
        nested_tasks,
        to_thread,
        in_executor,
        run_sync,
    ],
    ids=lambda f: f.__name__,
)
def test_what_the_owner_awaits_is_in_its_transaction(
    async_url: str, prof: txprof.Profile, work: Any
) -> None:
    run(async_url, work)
    finding = assert_flagged(prof, "io-in-transaction")
    assert finding.site.function == "run.<locals>.main", finding.details["call_path"]
    assert any(f" {work.__name__}" in frame for frame in finding.details["call_path"])


def test_a_task_that_nobody_awaits_is_clean(async_url: str, prof: txprof.Profile) -> None:
    tasks = []

    async def fire_and_forget(_: AsyncConnection) -> None:
        called = asyncio.Event()

        async def job() -> None:
            await async_call()
            called.set()

        tasks.append(asyncio.create_task(job()))
        await called.wait()

    run(async_url, fire_and_forget)
    assert calls_seen(prof) == [("rpc", "billing", 1)]
    assert_clean(prof)


def test_another_task_is_judged_by_its_own(async_url: str, prof: txprof.Profile) -> None:
    async def main() -> None:
        engine = create_async_engine(async_url)
        opened, called = asyncio.Event(), asyncio.Event()

        async def owner() -> None:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 1"))
                opened.set()
                await called.wait()

        async def other() -> None:
            await opened.wait()
            await async_call()
            called.set()

        await asyncio.gather(owner(), other())
        await engine.dispose()

    asyncio.run(main())
    assert_clean(prof)


def test_after_the_block_nothing_is_open(async_url: str, prof: txprof.Profile) -> None:
    async def main() -> None:
        engine = create_async_engine(async_url)
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
        await async_call()
        await engine.dispose()

    asyncio.run(main())
    assert_clean(prof)


def test_a_connection_opened_under_wait_for_is_the_callers(
    async_url: str, prof: txprof.Profile
) -> None:
    # Before 3.12 wait_for runs what it awaits in a task of its own.
    async def main() -> None:
        engine = create_async_engine(async_url)
        connection = engine.connect()
        await asyncio.wait_for(connection.start(), 5)
        await connection.execute(text("SELECT 1"))
        await async_call()
        await connection.close()
        await engine.dispose()

    asyncio.run(main())
    assert_flagged(prof, "io-in-transaction", count=1)


def test_under_raise_a_gathered_call_does_not_go_out(async_url: str) -> None:
    reached = []

    async def child() -> None:
        async with txprof.external_call("rpc", "billing"):
            reached.append(1)

    async def work(_: AsyncConnection) -> None:
        await asyncio.gather(child())

    with (
        txprof.profile(on_finding="raise"),
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError),
    ):
        run(async_url, work)
    assert reached == []


def test_what_children_do_again_is_judged_once(
    async_url: str, prof: txprof.Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    original = judging._made

    def counting(*arguments: Any) -> Any:
        made.append(arguments)
        return original(*arguments)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        judging._cases.clear()
        monkeypatch.setattr(judging, "_made", counting)
        for _ in range(5):
            await asyncio.gather(async_call(), async_call())

    run(async_url, work)
    assert_flagged(prof, "io-in-transaction", count=10)
    assert len(made) == 1
