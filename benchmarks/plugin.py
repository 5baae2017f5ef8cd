"""What the pytest plugin adds to a test suite: with the plugin off and on, run after run in pairs.

Two suites of 300 tests. One of five kinds: Core, the ORM, commits inside the suite's own
transaction, an HTTP call under a mock, and no database at all. And one of nothing but tests without
a database, where what comes once a run weighs most. Each run is a fresh interpreter with its byte
code cached, and tells what it took until the first test, in the tests, and after them, on the wall
and of the processor. And what pytest takes longer to start where the plugin is installed and not
asked for.

A pair is one run without and one with, right after each other, each time the other one first: a
machine that is slow for a while is slow for both. What is told is the median over the pairs; the
spread is half of the range in which the middle half of the pairs lies.

Budgets: 3 % of the suite's wall time; 5 ms of start-up.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from budgets import Row
from harness import MISSING, Table, arguments, half_of_the_middle, publish

BUDGET = 3.0
"""Percent."""

START_UP = 5.0
"""Milliseconds."""

CLOCKS = ("wall", "processor")
PARTS = {"start": "until the first test", "tests": "in the tests", "end": "after the last"}

APPLICATION = """
import httpx
from sqlalchemy import ForeignKey, create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm import selectinload

class Base(DeclarativeBase):
    pass

class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    lines: Mapped[list["Line"]] = relationship()

class Line(Base):
    __tablename__ = "lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    text: Mapped[str]

def core(connection, number):
    connection.execute(insert(Order), [{"name": f"{number} {n}"} for n in range(20)])
    rows = connection.execute(select(Order.id, Order.name).order_by(Order.id)).all()
    connection.execute(text("UPDATE orders SET name = name || '!'"))
    return len(rows)

def orm(session, number):
    session.add_all(
        Order(name=f"{number} {n}", lines=[Line(text=str(m)) for m in range(5)]) for n in range(20)
    )
    session.flush()
    session.expire_all()
    orders = session.scalars(select(Order).options(selectinload(Order.lines))).all()
    return sum(len(order.lines) for order in orders)

def commits(session, number):
    for n in range(4):
        session.add(Order(name=f"{number} {n}"))
        session.commit()
    return len(session.scalars(select(Order)).all())

def http(session, client):
    names = [order.name for order in session.scalars(select(Order))]
    session.commit()
    answer = client.post("https://api.example.com/orders", json=names)
    session.add(Order(name=answer.json()["name"]))
    session.commit()
"""

CONFTEST = """
import httpx
import pytest
import shop
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

@pytest.fixture(scope="session")
def engine():
    engine = create_engine("sqlite://")
    shop.Base.metadata.create_all(engine)
    yield engine
    engine.dispose()

@pytest.fixture
def connection(engine):
    with engine.connect() as connection:
        outer = connection.begin()
        yield connection
        outer.rollback()

@pytest.fixture
def session(connection):
    with Session(connection) as session:
        yield session

@pytest.fixture
def client():
    answer = httpx.Response(200, json={"name": "answered"})
    with httpx.Client(transport=httpx.MockTransport(lambda _: answer)) as client:
        yield client
"""

TESTS = {
    "core": ("connection", "assert shop.core(connection, {number}) == 20"),
    "orm": ("session", "assert shop.orm(session, {number}) == 100"),
    "commits": ("session", "assert shop.commits(session, {number}) == 4"),
    "http": ("session, client", "shop.http(session, client)"),
    "plain": ("", "assert sum(range({number})) == {number} * ({number} - 1) // 2"),
}
"""By kind: what a test is called with, and its body."""

ONE_TEST = """
def test_it():
    pass
"""

PLAIN = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")


class Spent(NamedTuple):
    """Milliseconds of one run."""

    start: float
    """Until the first test."""
    tests: float
    end: float

    @property
    def all(self) -> float:
        return sum(self)


class Run(NamedTuple):
    """What one run of pytest took."""

    wall: Spent
    processor: Spent

    def took(self, clock: str, part: str = "all") -> float:
        """Milliseconds of a part, on one of the two."""
        found: float = getattr(getattr(self, clock), part)
        return found


class Figure(NamedTuple):
    """A median over the pairs, and how far they lie apart."""

    median: float
    spread: float | None


class Pairs(list[tuple[Run, Run]]):
    """Runs without the plugin and with it."""

    def added(self, clock: str, part: str = "all") -> Figure:
        """Milliseconds that the plugin adds to a part of a run."""
        return _figure([on.took(clock, part) - bare.took(clock, part) for bare, on in self])

    def share(self, clock: str) -> Figure:
        """2.0: a run takes 2 % longer."""
        return _figure([(on.took(clock) / bare.took(clock) - 1) * 100 for bare, on in self])

    def bare(self, clock: str, part: str = "all") -> float:
        """The median of the runs without."""
        return statistics.median(bare.took(clock, part) for bare, _ in self)


def _figure(found: list[float]) -> Figure:
    spread = half_of_the_middle(found)
    return Figure(statistics.median(found), None if math.isnan(spread) else spread)


def write(folder: Path, files: dict[str, str]) -> None:
    """Write a suite."""
    for name, source in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")


def tests_of(kinds: Iterable[str], count: int) -> str:
    """So many tests, each a function of its own: what is known of one tells nothing of the next."""
    parts = []
    for number in range(count):
        for kind in kinds:
            arguments, body = TESTS[kind]
            body = body.format(number=number)
            parts.append(f"def test_{kind}_{number}({arguments}):\n    {body}\n")
    return "\n".join(parts)


def suite(folder: Path, tests: int) -> None:
    """The one of five kinds."""
    tests_of_shop = "import shop\n" + tests_of(TESTS, tests // len(TESTS))
    write(folder, {"shop": APPLICATION, "conftest": CONFTEST, "test_shop": tests_of_shop})


def pytest_run(folder: Path, *options: str) -> Run:
    """Run pytest there."""
    command = [sys.executable, "-c", _TIMED, *PLAIN, *options]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / ".byte-code")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody's tests compile txprof each time
    done = subprocess.run(
        command, cwd=folder, capture_output=True, check=False, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    marks = json.loads(done.stdout.splitlines()[-1])
    wall, processor = (
        Spent(*((until - since) * 1e3 for since, until in itertools.pairwise(clock)))
        for clock in zip(*marks, strict=True)
    )
    return Run(wall, processor)


_TIMED = """
import json, sys, time, pytest

class Marks:
    def __init__(self):
        self.at = []

    def mark(self):
        self.at.append((time.perf_counter(), time.process_time()))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self):
        self.mark()
        result = yield
        self.mark()
        return result

marks = Marks()
marks.mark()
status = pytest.main(sys.argv[1:], plugins=[marks])
marks.mark()
print()
print(json.dumps(marks.at))
sys.exit(status)
"""


def pairs(folder: Path, bare: tuple[str, ...], on: tuple[str, ...], count: int) -> Pairs:
    """So many pairs of runs there, with these options."""
    for options in (bare, on):
        pytest_run(folder, *options)  # its byte code is cached now
    found = Pairs()
    for turn in range(count):
        if turn % 2:
            with_plugin = pytest_run(folder, *on)
            without = pytest_run(folder, *bare)
        else:
            without = pytest_run(folder, *bare)
            with_plugin = pytest_run(folder, *on)
        found.append((without, with_plugin))
    return found


def tell_suite(table: Table, what: str, found: Pairs) -> None:
    """The rows of one suite: all of it beside the budget, and what that is made of."""
    for clock in CLOCKS:
        share = found.share(clock)
        row = Row(
            "suite", f"{what}, {clock}", share.median, BUDGET, "%", share.median, share.spread
        )
        table.add(
            row.what,
            f"{found.bare(clock):.0f}",
            *_told(found.added(clock)),
            f"{share.median:+.1f} %",
            f"+{BUDGET:.0f} %",
            table.judge(row),
        )
        for part, words in PARTS.items():
            bare = found.bare(clock, part)
            table.add(f"  {words}", f"{bare:.0f}", *_told(found.added(clock, part)))


def tell_start_up(table: Table, found: Pairs) -> None:
    """The rows of the plugin that is not asked for."""
    for clock in CLOCKS:
        added = found.added(clock)
        what = f"start-up, not asked for, {clock}"
        row = Row("start-up", what, added.median, START_UP, "ms", *added)
        table.add(
            what,
            f"{found.bare(clock):.0f}",
            *_told(added),
            MISSING,
            f"+{START_UP:.0f} ms",
            table.judge(row),
        )


def main() -> None:
    options = arguments(__doc__)
    tests, count, starts = (20, 1, 1) if options.quick else (300, 11, 31)
    table = Table(
        "Milliseconds that the pytest plugin adds",
        *("what", "bare", "txprof", "spread", "that is", "budget", "verdict"),
    )
    with tempfile.TemporaryDirectory() as name:
        suite(Path(name), tests)
        found = pairs(Path(name), (), ("--txprof",), count)
        tell_suite(table, f"{tests} tests of five kinds", found)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), {"test_plain": tests_of(["plain"], tests)})
        found = pairs(Path(name), (), ("--txprof",), count)
        tell_suite(table, f"{tests} tests without a database", found)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), {"test_it": ONE_TEST})
        tell_start_up(table, pairs(Path(name), ("-p", "no:txprof"), (), starts))
    table.note("Medians over pairs of runs; spread: half of the range of the middle half of them.")
    publish(table, options)


def _told(figure: Figure) -> tuple[str, str]:
    spread = MISSING if figure.spread is None else f"±{figure.spread:.1f}"
    return f"{figure.median:+.1f}", spread


if __name__ == "__main__":
    main()
