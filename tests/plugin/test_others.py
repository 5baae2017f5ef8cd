"""Beside other plugins of pytest, each with the project that their users have."""

from __future__ import annotations

import sys
import tomllib

import pytest
from plugin_project import Project, failed

import txprof

ASYNC_CONFTEST = """
import app
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def engine():
    engine = create_async_engine(app.URL)
    yield engine
    await engine.dispose()

@pytest_asyncio.fixture(loop_scope="session")
async def session(engine):
    '''Begun in another task than the test's.'''
    async with engine.connect() as connection:
        outer = await connection.begin()
        await connection.execute(text("SELECT 1"))
        async with AsyncSession(
            connection, join_transaction_mode="create_savepoint"
        ) as session:
            yield session
        await outer.rollback()
"""
ASYNC_APP = """
import asyncio
import os
import txprof
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

URL = os.environ["APP_URL"]

async def charge():
    async with txprof.external_call("http", "POST https://api.example.com/charge"):
        await asyncio.sleep(0)

async def process(session):
    await session.execute(text("SELECT 1"))
    await charge()  # mixes
    await session.commit()

async def split(session):
    await session.execute(text("SELECT 1"))
    await session.commit()
    await charge()

async def ask(session, number):
    return await session.scalar(text("SELECT CAST(:number AS TEXT)"), {"number": str(number)})

async def asks_often(session):
    return [await ask(session, number) for number in range(7)]

async def several(engine):
    async def one():
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT 1"))
            await charge()
    async with asyncio.TaskGroup() as group:
        group.create_task(one())

async def leaks(engine):
    connection = await engine.connect()
    await connection.execute(text("SELECT 1"))
    app_connections.append(connection)

app_connections = []
"""
ASYNC_TESTS = """
import asyncio
import app
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

pytestmark = {mark}

async def test_process_bad(session):
    await app.process(session)

async def test_split_good(session):
    await app.split(session)
    await app.charge()

async def test_own_loop_good(session):
    for number in range(7):
        await app.ask(session, number)

async def test_own_gather_good(engine):
    async def one(number):
        async with AsyncSession(engine) as session:
            await app.ask(session, number)
    for number in range(7):
        await asyncio.gather(one(number))

async def test_often_bad(session):
    await app.asks_often(session)

async def test_task_group_bad(engine):
    await app.several(engine)

async def test_task_good(engine):
    async with AsyncSession(engine) as session:
        await asyncio.create_task(app.split(session))

async def test_leak_bad(engine):
    await app.leaks(engine)

async def test_closes_it_good(engine):
    await app.app_connections.pop().close()
"""
ASYNC_BAD = ["test_leak_bad", "test_often_bad", "test_process_bad", "test_task_group_bad"]


@pytest.mark.parametrize("driver", ["aiosqlite", "psycopg", "asyncpg"])
def test_pytest_asyncio(
    project: Project,
    driver: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "sqlite+aiosqlite://"
    if driver != "aiosqlite":
        url = str(request.getfixturevalue("postgresql_url")).replace("psycopg", driver)
    monkeypatch.setenv("APP_URL", url)
    project.ini(
        "txprof = true",
        "asyncio_mode = auto",
        "asyncio_default_fixture_loop_scope = session",
        "asyncio_default_test_loop_scope = session",
    )
    mark = 'pytest.mark.asyncio(loop_scope="session")'
    project.write(app=ASYNC_APP, conftest=ASYNC_CONFTEST, test_it=ASYNC_TESTS.format(mark=mark))
    result = project.run_here("-q", plugins=("asyncio",))
    assert sorted(failed(result)) == ASYNC_BAD
    result.assert_outcomes(failed=4, passed=5)


def test_anyio(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_URL", "sqlite+aiosqlite://")
    conftest = (
        ASYNC_CONFTEST.replace("import pytest_asyncio\n", "")
        .replace('pytest_asyncio.fixture(loop_scope="session", scope="session")', "pytest.fixture")
        .replace('pytest_asyncio.fixture(loop_scope="session")', "pytest.fixture")
    )
    conftest += "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    tests = ASYNC_TESTS.partition("async def test_leak_bad")[0].format(mark="pytest.mark.anyio")
    project.write(app=ASYNC_APP, conftest=conftest, test_it=tests)
    result = project.run_here("-q", "--txprof")
    assert sorted(failed(result)) == ASYNC_BAD[1:]
    result.assert_outcomes(failed=3, passed=4)


MANY = """
import app
import pytest

@pytest.mark.parametrize("number", range(6))
def test_good(session, number):
    app.split(session)

def test_bad(session):
    app.process(session)

def test_often(session):
    app.asks_often(session)
"""


def test_xdist_merges_summary_baseline_and_reports(project: Project) -> None:
    project.write(test_it=MANY)
    arguments = (
        "--txprof",
        "--txprof-baseline=known.toml",
        "--txprof-update-baseline",
        "--txprof-report=all.txprof",
        "--txprof-save=kept",
    )
    result = project.run("-n2", *arguments, plugins=("xdist",))
    result.assert_outcomes(failed=2, passed=6)
    result.stdout.fnmatch_lines(
        [
            "8 tests watched · 14 statements · 7 external calls · 2 findings in 2 tests",
            "*known.toml was written: 2 todo",
        ]
    )
    todo = tomllib.loads((project.folder / "known.toml").read_text())["todo"]
    assert [entry["rule"] for entry in todo] == ["n-plus-one", "io-in-transaction"]
    merged = txprof.load(project.folder / "all.txprof")
    assert sorted(finding.rule for finding in merged.findings) == [
        "io-in-transaction",
        "n-plus-one",
    ]
    assert len(list((project.folder / "kept").iterdir())) == 8


def test_randomly_and_rerunfailures(project: Project) -> None:
    project.write(
        test_it=MANY
        + """
seen = []
def test_flaky(session):
    seen.append(1)
    (app.process if len(seen) == 1 else app.split)(session)
"""
    )
    result = project.run(
        "--txprof",
        "--reruns=1",
        plugins=("randomly", "rerunfailures"),
    )
    assert sorted(failed(result)) == ["test_bad", "test_often"]
    assert "3 rerun" in result.outlines[-1]
    assert "7 passed" in result.outlines[-1]


def test_every_core_of_coverage_sees_as_much(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(test_it=MANY)
    covered = set()
    for core in ("ctrace", "pytrace", "sysmon")[: 2 + (sys.version_info >= (3, 12))]:
        monkeypatch.setenv("COVERAGE_CORE", core)
        result = project.run("-q", "--txprof", "--cov=app", "--cov-report=term-missing")
        assert sorted(failed(result)) == ["test_bad", "test_often"]
        covered |= {line for line in result.outlines if line.startswith("app.py ")}
    (line,) = covered
    assert line.split()[1:4] == ["28", "5", "82%"]


def test_doctests_hypothesis_and_without_the_plugin(project: Project) -> None:
    project.write(
        service='''
        """
        >>> from sqlalchemy import create_engine
        >>> from sqlalchemy.orm import Session
        >>> import app
        >>> session = Session(create_engine("sqlite://"))
        >>> for number in range(7):
        ...     _ = app.ask(session, number)
        >>> session.close()
        >>> app.process(session)
        >>> session.get_bind().dispose()
        """
        ''',
        test_it="""
        import app
        from hypothesis import given, settings, strategies
        from sqlalchemy import create_engine
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite://")

        def teardown_module():
            engine.dispose()

        @settings(max_examples=20, deadline=None, database=None)
        @given(strategies.integers(0, 9))
        def test_given_good(number):
            with Session(engine) as session:
                app.ask(session, number)
        """,
    )
    result = project.run_here("--txprof", "--doctest-modules", "-q")
    assert list(failed(result)) == ["service"]
    result.assert_outcomes(failed=1, passed=1)
    result = project.run("-q", "--doctest-modules", "-p", "no:txprof")
    result.assert_outcomes(passed=2)


def test_subtests(project: Project) -> None:
    project.write(
        test_it="""
        import app
        def test_subtests(session, subtests):
            for number in range(7):
                with subtests.test(number=number):
                    app.ask(session, number)
            with subtests.test("bad"):
                app.process(session)
        """
    )
    result = project.run_here("--txprof", "-q")
    (message,) = failed(result).values()
    assert message.startswith("Failed: io-in-transaction app.py:15 process: ")
    assert "n-plus-one" not in result.stdout.str()


def test_one_file_with_application_and_tests(project: Project) -> None:
    project.write(
        test_it="""
        import txprof
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite://")

        def teardown_module():
            engine.dispose()

        def charge():
            with txprof.external_call("http", "POST https://api.example.com/charge"):
                pass

        def process(session):
            session.execute(text("SELECT 1"))
            charge()

        def test_bad():
            with Session(engine) as session:
                process(session)

        def test_good():
            for _ in range(7):
                with Session(engine) as session:
                    session.execute(text("SELECT 1"))
                charge()
        """
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_bad"]
    result.assert_outcomes(failed=1, passed=1)
