"""What the pytest plugin adds to a test suite: a generated one, with the plugin off and on.

The suite is of 300 tests, of five kinds: Core, the ORM, commits inside the suite's own transaction,
an HTTP call under a mock, and no database at all. Runs with and without take turns, in fresh
interpreters, with their byte code cached. And what pytest takes longer to start where the plugin is
installed and not asked for.

Budgets: 3 % of the suite's wall time; 5 ms of start-up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

from harness import MISSING, Samples, Table, arguments, publish

BUDGET = 0.03
START_UP = 0.005

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

TESTS = """
import pytest
import shop

@pytest.mark.parametrize("number", range({count}))
def test_core(connection, number):
    assert shop.core(connection, number) == 20

@pytest.mark.parametrize("number", range({count}))
def test_orm(session, number):
    assert shop.orm(session, number) == 100

@pytest.mark.parametrize("number", range({count}))
def test_commits(session, number):
    assert shop.commits(session, number) == 4

@pytest.mark.parametrize("number", range({count}))
def test_http(session, client, number):
    shop.http(session, client)

@pytest.mark.parametrize("number", range({count}))
def test_plain(number):
    assert sum(range(number)) == number * (number - 1) // 2
"""

PLAIN = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")


def suite(folder: Path, tests: int) -> None:
    """Write it."""
    files = {"shop": APPLICATION, "conftest": CONFTEST, "test_shop": TESTS}
    for name, source in files.items():
        text = textwrap.dedent(source.replace("{count}", str(tests // 5)))
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def pytest_run(folder: Path, *options: str) -> Callable[[], float]:
    """Run pytest there: seconds of processor time, which other work on the machine adds less to."""

    def run() -> float:
        command = [sys.executable, "-c", _TIMED, *PLAIN, *options]
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / ".byte-code")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody's tests compile txprof each time
        done = subprocess.run(
            command, cwd=folder, capture_output=True, check=False, text=True, env=environment
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return float(done.stdout.splitlines()[-1])

    return run


_TIMED = """
import sys, time, pytest
since = time.process_time()
status = pytest.main(sys.argv[1:])
print()
print(time.process_time() - since)
sys.exit(status)
"""


def turns(variants: dict[str, Callable[[], float]], count: int) -> Samples:
    """Let them take turns, each time the other one first."""
    found = Samples(a_turn=1)
    names = list(variants)
    for run in variants.values():
        run()  # its byte code is cached now
    for turn in range(count):
        for name in names if turn % 2 else reversed(names):
            found.seconds.setdefault(name, []).append(variants[name]())
    return found


def main() -> None:
    options = arguments(__doc__)
    quick = options.quick
    table = Table(
        "Milliseconds of processor time that the pytest plugin adds",
        *("what", "bare", "txprof", "that is", "budget", "verdict"),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tests = 20 if quick else 300
        suite(folder, tests)
        found = turns(
            {"bare": pytest_run(folder), "txprof": pytest_run(folder, "--txprof")},
            1 if quick else 7,
        )
        what = f"a suite of {tests} tests"
        share = share_added(found)
        table.add(
            what,
            *_millis(found),
            f"{share:+.1%}".replace("%", " %"),
            f"+{BUDGET:.0%}".replace("%", " %"),
            table.judge(
                found.judged("suite", what, lambda one: share_added(one) * 100, BUDGET * 100, "%")
            ),
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text("def test_it():\n    pass\n", encoding="utf-8")
        found = turns(
            {"bare": pytest_run(folder, "-p", "no:txprof"), "txprof": pytest_run(folder)},
            1 if quick else 15,
        )
        table.add(
            "start-up, not asked for",
            *_millis(found),
            MISSING,
            f"+{START_UP * 1e3:.1f}",
            table.judge(
                found.judged_added(
                    "start-up", "start-up, not asked for", "txprof", START_UP, scale=1e3, unit="ms"
                )
            ),
        )
    publish(table, options)


def share_added(found: Samples) -> float:
    """0.02: the suite takes 2 % longer."""
    return found.added("txprof") / found.figure("bare")


def _millis(found: Samples) -> tuple[str, str]:
    return f"{found.figure('bare') * 1e3:.1f}", f"{found.added('txprof') * 1e3:+.1f}"


if __name__ == "__main__":
    main()
