"""Engines on every database that a pool's tests run on, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock
from pool_jobs import Jobs, Run
from pool_recordings import pool_of_five, record
from sqlalchemy import Engine, create_engine, make_url

from txprof import cli


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, for threads."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'pool.db'}"
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url_for_tasks(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind, for asyncio."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'pool.db'}"
    if request.param == "mariadb":
        pytest.importorskip("aiomysql")
    url = make_url(request.getfixturevalue(f"{request.param}_url"))
    driver = {"postgresql": "postgresql+asyncpg", "mariadb": "mysql+aiomysql"}[request.param]
    return url.set(drivername=driver).render_as_string(hide_password=False)


@pytest.fixture
def made() -> Iterator[Callable[..., Engine]]:
    """Makes engines, which are disposed when the test ends."""
    engines: list[Engine] = []

    def make(url: str, **options: Any) -> Engine:
        engines.append(create_engine(url, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """See `Jobs`."""
    jobs = Jobs()
    yield jobs
    jobs.let_go()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The output of a command that goes well, or with `fails` the complaint of one that fails."""

    def run(*arguments: object, fails: bool = False) -> str:
        status = cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        if fails:
            assert (status, output.out) == (2, "")
            assert output.err.count("\n") == 1
            return output.err
        assert (status, output.err) == (0, "")
        return output.out

    return run


@pytest.fixture
def recording(tmp_path: Path, made: Callable[..., Engine], fake: FakeClock) -> Path:
    """40 jobs on one connection of a pool of five."""
    path = tmp_path / "batch.txprof"
    record(pool_of_five(made, f"sqlite:///{tmp_path / 'x.db'}"), fake, 40).save(path)
    return path
