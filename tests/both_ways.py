"""Programs that run in plain Python and compiled: prints, as JSON, what was recorded of each.

python tests/both_ways.py    runs all of them; tests/test_compiled.py compares what they print.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import greenlet
import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, exc, insert, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import StaticPool

import txprof
from txprof.clock import clock
from txprof.entries import Entry


class Ticks(threading.local):
    """A clock for each thread: every look at it takes a millisecond."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        self.seconds += 0.001
        return self.seconds


ticks = Ticks()


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str]
    lines: Mapped[list[Line]] = relationship()


class Line(Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))


def database() -> Engine:
    """An engine on a database with 12 orders of 2 lines."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all(Order(id=n, note=str(n), lines=[Line(), Line()]) for n in range(12))
    return engine


def ask(connection: Any, number: int = 1) -> None:
    connection.execute(select(Order.note).where(Order.id == number)).all()


def loop(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(100):
            ask(connection, number % 12)


def lazy_loads(engine: Engine) -> None:
    with Session(engine) as session:
        for order in session.scalars(select(Order)):
            assert len(order.lines) == 2


def several_lines(engine: Engine) -> None:
    with engine.connect() as connection:
        for _ in range(10):
            ask(connection)
            ask(connection)
            connection.execute(select(Line.id)).all()


def literals(engine: Engine) -> None:
    with engine.connect() as connection:
        for _ in range(2):
            for number in range(20):
                connection.execute(text(f"SELECT {number}")).all()


def without_parameters(engine: Engine) -> None:
    options = {"no_parameters": True}
    with engine.connect().execution_options(**options) as connection:
        for _ in range(10):
            connection.exec_driver_sql("SELECT note FROM orders").all()


def many_at_once(engine: Engine) -> None:
    with engine.begin() as connection:
        for batch in range(12):
            rows = [{"order_id": 1, "id": 100 + 10 * batch + n} for n in range(5)]
            connection.execute(insert(Line), rows)


def writes(engine: Engine) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            for number in range(12):
                connection.execute(update(Order).where(Order.id == number).values(note="x"))
                ask(connection)
            with txprof.external_call("rpc", "billing"):
                ticks.seconds += 2.0


def sits(engine: Engine) -> None:
    with engine.begin() as connection:
        for number in range(6):
            ask(connection)
            ticks.seconds += 0.2 * (number % 2)


def autocommit(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for number in range(10):
            ask(connection)
            connection.execute(update(Order).where(Order.id == number).values(note="y"))


def transactions_as_text(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for _ in range(6):
            connection.exec_driver_sql("BEGIN")
            ask(connection)
            connection.exec_driver_sql("COMMIT")
            ask(connection)


def failures(engine: Engine) -> list[list[str]]:
    """What frames the program sees in tracebacks."""
    seen = []
    with engine.connect() as connection:
        for statement in ("SELECT nothing", "INSERT INTO orders (id) VALUES (1)") * 5:
            try:
                connection.execute(text(statement))
            except exc.DBAPIError as error:
                frames = []
                traceback = error.__traceback__
                while traceback is not None:
                    frames.append(traceback.tb_frame.f_code.co_name)
                    traceback = traceback.tb_next
                seen.append(frames)
            ask(connection)
    return seen


def recursion(engine: Engine) -> None:
    def down(connection: Any, depth: int) -> None:
        ask(connection)
        if depth:
            down(connection, depth - 1)
        ask(connection)

    with engine.connect() as connection:
        for depth in (3, 3, 90, 2):
            down(connection, depth)


def strange_parameters(engine: Engine) -> None:
    class Unhashable(int):
        __hash__ = None  # type: ignore[assignment]

    with engine.connect() as connection:
        for number in range(12):
            ask(connection, Unhashable(number))
            connection.exec_driver_sql("SELECT ?, ?", (number, Unhashable(1))).all()


def threads(engine: Engine) -> None:
    turn = [threading.Event() for _ in range(4)]

    def work(number: int) -> None:
        turn[number].wait(60)
        with engine.connect() as connection:
            for _ in range(10):
                ask(connection, number)
        if number + 1 < len(turn):
            turn[number + 1].set()

    started = [threading.Thread(target=work, args=(number,)) for number in range(len(turn))]
    for thread in started:
        thread.start()
    turn[0].set()
    for thread in started:
        thread.join()


def greenlets(engine: Engine) -> None:
    with engine.connect() as connection:

        def work() -> None:
            for _ in range(5):
                ask(connection)
                main.switch()

        main = greenlet.getcurrent()
        others = [greenlet.greenlet(work) for _ in range(3)]
        for _ in range(5):
            for other in others:
                other.switch()
            ask(connection)


def tasks(_engine: Engine) -> None:
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)

    async def work() -> None:
        async with engine.connect() as connection:
            for number in range(5):
                await connection.execute(text("SELECT :n"), {"n": number})

    async def main() -> None:
        for _ in range(3):
            await asyncio.create_task(work())
        await engine.dispose()

    asyncio.run(main())


def calls_in_a_block(engine: Engine) -> None:
    @txprof.profile(report=None, lines=None, on_finding="ignore")
    def call() -> None:
        with engine.connect() as connection:
            for number in range(7):
                ask(connection, number)

    for _ in range(3):
        call()
    with txprof.profile(on_finding="ignore", lines=None), engine.connect() as connection:
        for _ in range(5):
            ask(connection)


APPLICATION: dict[str, Any] = {}
exec(
    compile(
        """
def serve(connection, statement, times):
    for _ in range(times):
        connection.execute(statement).all()

def elsewhere(connection, statement, times):
    serve(connection, statement, times)
    serve(connection, statement, times)

def nest(connection, statement, times):
    for _ in range(times):
        with connection.begin_nested():
            serve(connection, statement, times)

def write(session, model, times):
    for number in range(times):
        session.add(model(note=str(number)))
        session.flush()
    session.commit()
    return [each.note for each in session.query(model)]

async def wait_for(function, *arguments):
    function(*arguments)
""",
        "/application/shop.py",
        "exec",
    ),
    APPLICATION,
)


def behind_a_harness(engine: Engine) -> dict[str, Any]:
    """What is recorded of it with one: the application's statements, in three visits."""
    harness = txprof.Harness(lambda file: file == __file__)
    statement = select(Order.note)
    with engine.begin() as connection:
        harness.take_over()
        with txprof.profile(
            harness=harness, on_finding="ignore", lines=None, exemplars=0, name="a test"
        ) as profile:
            for _ in range(3):
                APPLICATION["serve"](connection, statement, 10)
                ask(connection)
            with harness:
                APPLICATION["serve"](connection, statement, 10)
            nested = connection.begin_nested()
            APPLICATION["serve"](connection, statement, 2)
            nested.rollback()
            for _ in range(2):
                APPLICATION["elsewhere"](connection, statement, 3)
                APPLICATION["nest"](connection, statement, 3)
                with Session(connection, join_transaction_mode="rollback_only") as session:
                    APPLICATION["write"](session, Order, 4)
            asyncio.run(APPLICATION["wait_for"](APPLICATION["serve"], connection, statement, 4))
            worker = threading.Thread(target=APPLICATION["serve"], args=(connection, statement, 4))
            worker.start()
            worker.join()
            APPLICATION["serve"](connection, statement, 4)
    queries = [(each.statement, each.call_path, each.count) for each in profile.queries]
    return {**profile.to_dict(), "queries": sorted(queries), "visits": profile.visits}


PROGRAMS: tuple[Callable[[Engine], Any], ...] = (
    loop,
    lazy_loads,
    several_lines,
    literals,
    without_parameters,
    many_at_once,
    writes,
    sits,
    autocommit,
    transactions_as_text,
    failures,
    recursion,
    strange_parameters,
    threads,
    greenlets,
    tasks,
    calls_in_a_block,
    behind_a_harness,
)


def ran(program: Callable[[Engine], Any]) -> dict[str, Any]:
    """What was recorded of it, what it returned, and how many statements Python counted."""
    counted = 0
    count = Entry.statement

    def statement(*how: Any) -> Any:
        nonlocal counted
        counted += 1
        return count(*how)

    engine = database()
    ticks.seconds = 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Entry, "statement", statement)
        with txprof.profile(on_finding="ignore", lines=None, exemplars=5) as profile:
            returned = program(engine)
    engine.dispose()
    recorded = profile.to_dict()
    for exemplar in recorded["exemplars"]:
        del exemplar["process"]
    return {"profile": recorded, "returned": returned, "in_python": counted}


def main() -> None:
    clock.now, clock.wall = ticks.now, lambda: 0.0
    json.dump({program.__name__: ran(program) for program in PROGRAMS}, sys.stdout)


if __name__ == "__main__":
    main()
