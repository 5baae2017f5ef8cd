"""What is no part of the application: its files and functions, and what they have open."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from helpers import FakeClock, assert_clean, assert_flagged, call, findings_of
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import txprof

APPLICATION = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
import helpers
from sqlalchemy import text

def process(session):
    session.execute(text("SELECT 1"))
    helpers.call()
    session.commit()

def ask(connection, number=1):
    return connection.scalar(text("SELECT :number"), {"number": number})

def passes_on(run, function):
    run(function)

def asks_slowly(connection, wait):
    ask(connection)
    wait()
    ask(connection)

def ask_often(connection):
    return [ask(connection, number) for number in range(7)]

class Order:
    def __init__(self, connection):
        self.connection = connection
    @property
    def total(self):
        return ask(self.connection)

def stream(connection):
    for number in range(7):
        yield ask(connection, number)

def in_threads(engine):
    def one(number):
        with engine.connect() as connection:
            ask(connection, number)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(7)))

async def in_tasks(engine):
    async def one(number):
        await asyncio.sleep(0)
        with engine.connect() as connection:
            ask(connection, number)
    await asyncio.gather(*(one(number) for number in range(7)))

async def one_task(engine):
    await asyncio.sleep(0)
    with engine.connect() as connection:
        ask(connection)
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """An application of its own file."""
    file = tmp_path_factory.mktemp("application") / "service.py"
    file.write_text(APPLICATION)
    module = ModuleType("service")
    exec(compile(APPLICATION, str(file), "exec"), vars(module))
    return module


@pytest.fixture
def harness() -> txprof.Harness:
    here = str(Path(__file__).parent)
    return txprof.Harness(lambda file: file.startswith(here))


@pytest.fixture(autouse=True)
def sensors_in() -> None:
    """Connections older than the sensors are taken over in a process of one thread alone.

    A thread of the test before may not be over yet.
    """
    with txprof.profile(on_finding="ignore"):
        pass


def watched(harness: txprof.Harness, **settings: Any) -> Any:
    harness.take_over()
    return txprof.profile(harness=harness, on_finding="ignore", **settings)


MODES = ["create_savepoint", "conditional_savepoint", "rollback_only"]


@pytest.mark.parametrize("mode", MODES)
def test_what_the_application_opens_in_the_harnesss_transaction_counts(
    engine: Engine, app: ModuleType, harness: txprof.Harness, mode: Any
) -> None:
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT 1"))
        with Session(connection, join_transaction_mode=mode) as session:
            with watched(harness) as prof:
                app.process(session)
    finding = assert_flagged(prof, "io-in-transaction")
    assert finding.site.function == "process"
    assert finding.details["transaction_site"].function == "process"


def test_and_what_the_harness_has_open_does_not(
    engine: Engine, app: ModuleType, harness: txprof.Harness
) -> None:
    with engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        with watched(harness) as prof:
            app.ask(connection)
            app.helpers.call()
    assert_clean(prof)
    assert prof.external_calls == 1


def test_locks_are_those_of_the_application(
    engine: Engine, app: ModuleType, harness: txprof.Harness
) -> None:
    def service(session: Session) -> None:
        app.process(session)

    with engine.connect() as connection, connection.begin():
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        with Session(connection) as session, watched(harness) as prof:
            service(session)
    assert assert_flagged(prof, "io-in-transaction").details["locked_tables"] == []


# A visit is one call into the application.


def test_a_loop_of_the_harness_is_no_burst(
    engine: Engine, app: ModuleType, harness: txprof.Harness
) -> None:
    with engine.connect() as connection, watched(harness) as prof:
        for number in range(7):
            app.ask(connection, number)
        assert [app.ask(connection) for _ in range(7)] == [1] * 7
        orders = [app.Order(connection) for _ in range(7)]
        assert sum(order.total for order in orders) == 7
        for number in range(7):
            connection.scalar(text("SELECT :number"), {"number": number})
    assert_clean(prof)
    assert prof.visits == 21
    assert sum(query.count for query in prof.queries) == 28


@pytest.mark.parametrize("what", ["ask_often", "stream"])
def test_one_of_the_application_is(
    engine: Engine, app: ModuleType, harness: txprof.Harness, what: str
) -> None:
    with engine.connect() as connection, watched(harness) as prof:
        list(getattr(app, what)(connection))
    finding = assert_flagged(prof, "n-plus-one", count=7)
    assert finding.site.function in ("ask_often", "stream", "ask_often.<locals>.<listcomp>")


def test_its_threads_are_part_of_the_visit(
    app: ModuleType, engine: Engine, harness: txprof.Harness
) -> None:
    with watched(harness) as prof:
        app.in_threads(engine)
    assert sum(finding.count for finding in findings_of(prof, "n-plus-one")) == 7
    with watched(harness) as prof, ThreadPoolExecutor(2) as pool:

        def one(number: int) -> None:
            with engine.connect() as connection:
                app.ask(connection, number)

        list(pool.map(one, range(7)))
    assert_clean(prof)


def test_a_context_that_comes_back_from_a_thread_brings_no_visit(
    app: ModuleType, engine: Engine, harness: txprof.Harness
) -> None:
    def and_back(function: Callable[[], object]) -> None:
        """As asgiref's `async_to_sync`."""

        def run() -> Context:
            function()
            return copy_context()

        with ThreadPoolExecutor(1) as pool:
            there = pool.submit(run).result()
        for variable, value in there.items():
            if variable.get(None) is not value:
                variable.set(value)

    def calls() -> None:
        app.passes_on(and_back, lambda: None)
        with engine.connect() as connection:
            for number in range(7):
                app.ask(connection, number)

    with watched(harness) as prof:
        copy_context().run(calls)
    assert_clean(prof)


def test_its_tasks_are_too(app: ModuleType, engine: Engine, harness: txprof.Harness) -> None:
    with watched(harness) as prof:
        asyncio.run(app.in_tasks(engine))
    assert sum(finding.count for finding in findings_of(prof, "n-plus-one")) == 7

    async def of_the_harness() -> None:
        await asyncio.gather(*(app.one_task(engine) for _ in range(7)))
        for _ in range(7):
            await app.one_task(engine)

    with watched(harness) as prof:
        asyncio.run(of_the_harness())
    assert_clean(prof)
    assert prof.visits == 14


def test_who_traces_the_frame_goes_on(
    engine: Engine, app: ModuleType, harness: txprof.Harness
) -> None:
    events: list[str] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename.endswith("service.py"):
            events.append(f"{event} {frame.f_code.co_name}")
            return trace
        return None

    before = sys.gettrace()
    with engine.connect() as connection, watched(harness) as prof:
        sys.settrace(trace)
        try:
            app.ask(connection)
            app.ask(connection)
        finally:
            sys.settrace(before)
    assert prof.visits == 2
    assert events == ["call ask", "line ask", "return ask"] * 2


def test_a_visit_keeps_no_frame_alive(
    engine: Engine, app: ModuleType, harness: txprof.Harness
) -> None:
    class Local:
        gone = threading.Event()

        def __del__(self) -> None:
            self.gone.set()

    def service(connection: Any) -> None:
        local = Local()
        app.ask(connection)
        assert local

    with engine.connect() as connection, watched(harness) as prof:
        service(connection)
        assert Local.gone.is_set()
        assert prof.visits == 1


def test_set_up_counts_for_nobody(engine: Engine, app: ModuleType, harness: txprof.Harness) -> None:
    def set_up(session: Session) -> None:
        app.process(session)
        app.ask(session)

    harness.add(set_up, aside=True)
    with Session(engine) as session, watched(harness) as prof:
        set_up(session)
        with harness:
            app.process(session)
            app.ask(session)
        app.helpers.call()
    assert_clean(prof)
    assert prof.queries == []


def test_a_script_may_hold_the_application_too(engine: Engine) -> None:
    here = str(Path(__file__).parent)
    harness = txprof.Harness(
        lambda file: file.startswith(here), is_script=lambda file: file == __file__
    )
    harness.add(test_a_script_may_hold_the_application_too)
    with Session(engine) as session, watched(harness) as prof:
        process_in_the_script(session)
    assert assert_flagged(prof, "io-in-transaction").site.function == "process_in_the_script"


def process_in_the_script(session: Session) -> None:
    session.execute(text("SELECT 1"))
    call()
    session.commit()


@pytest.mark.parametrize("opens", ["the application", "the harness"])
def test_what_sits_between_two_calls_is_the_harnesss_time(
    app: ModuleType, engine: Engine, harness: txprof.Harness, fake: FakeClock, opens: str
) -> None:
    settings = {"idle_ms": 100, "long_transaction_ms": 1_000}
    with watched(harness, **settings) as prof, Session(engine) as session:
        if opens == "the harness":
            session.execute(text("SELECT 0"))
        app.ask(session)
        fake.tick(0.6)
        app.ask(session)
        fake.tick(0.6)
        session.rollback()
    assert prof.findings == []


def test_and_what_sits_within_one_is_the_applications(
    app: ModuleType, engine: Engine, harness: txprof.Harness, fake: FakeClock
) -> None:
    with watched(harness, idle_ms=100) as prof, Session(engine) as session:
        app.asks_slowly(session, lambda: fake.tick(0.6))
        fake.tick(0.6)
        session.rollback()
    [found] = prof.findings
    assert found.rule == "idle-in-transaction"
    assert found.details["longest"] == pytest.approx(0.6)
    assert found.details["before"].function == "asks_slowly"


def test_a_finding_that_is_expected(
    engine: Engine, app: ModuleType, harness: txprof.Harness
) -> None:
    with Session(engine) as session, watched(harness) as prof:
        with txprof.expect("io-in-transaction") as inner:
            app.process(session)
        assert len(findings_of(inner, "io-in-transaction")) == 1
        assert_clean(prof)
        app.process(session)
    assert_flagged(prof, "io-in-transaction", count=1)


# Bad input.


def test_bad_input_is_told() -> None:
    question: Any = "tests"
    with pytest.raises(TypeError, match="not 'tests'"):
        txprof.Harness(question)
    with pytest.raises(TypeError, match="must be a txprof"):
        txprof.profile(harness=question)
    with pytest.raises(ValueError, match="called by one"):
        txprof.profile(harness=txprof.Harness(bool))(call)
