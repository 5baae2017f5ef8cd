"""`txprof.log_pool`: one line, one shape, until nobody needs it."""

from __future__ import annotations

import gc
import logging
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import PATIENCE, eventually
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import txprof

Make = Callable[..., Engine]


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.came.set()

    def next(self) -> str:
        """The next line."""
        self.came.clear()
        assert self.came.wait(PATIENCE)
        return self.lines[-1]


@pytest.fixture
def log() -> Iterator[Lines]:
    logger = logging.getLogger("txprof.pool")
    handler = Lines()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_one_line_of_one_shape(tmp_path: Path, made: Make, log: Lines) -> None:
    txprof.uninstall()
    url = f"sqlite:///{tmp_path / 'x.db'}"
    engine = made(url, pool_size=3)
    with engine.connect(), txprof.log_pool(engine, every=0.01):
        line = log.next()
    assert line == f"{url}: stats (size=3, busy=1, idle=0, waiting=0)"


def test_the_pools_own_name_is_used_and_a_password_never(made: Make, log: Lines) -> None:
    url = "postgresql+psycopg://me:s3cret@127.0.0.1:1/shop?password=s3cret"
    with txprof.log_pool(made(url), every=0.01):
        assert log.next().startswith("postgresql+psycopg://me:***@127.0.0.1:1/shop: stats (")
    with txprof.log_pool(made(url, pool_logging_name="shop"), every=0.01):
        eventually(lambda: log.next().startswith("shop: stats ("))


def test_what_a_pool_cannot_tell_is_a_dash(tmp_path: Path, made: Make, log: Lines) -> None:
    txprof.uninstall()
    engine = made(f"sqlite:///{tmp_path / 'x.db'}", poolclass=NullPool)
    with txprof.log_pool(engine, every=0.01):
        assert log.next().endswith(": stats (size=-, busy=-, idle=-, waiting=-)")


def test_an_async_engine_is_logged_from_its_thread(tmp_path: Path, log: Lines) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}", pool_size=2)
    with txprof.log_pool(engine, every=0.01) as handle:
        assert log.next().endswith("stats (size=2, busy=0, idle=0, waiting=0)")
        assert handle.is_running


def test_stop_ends_it(tmp_path: Path, made: Make) -> None:
    handle = txprof.log_pool(made(f"sqlite:///{tmp_path / 'x.db'}"), every=3600)
    assert handle.is_running
    handle.stop()
    assert not handle.is_running
    handle.stop()


def test_it_ends_with_the_engine(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    handle = txprof.log_pool(engine, every=3600)
    engine.dispose()
    del engine
    gc.collect()
    eventually(lambda: not handle._thread.is_alive())


@pytest.mark.parametrize("every", [0, -1, math.nan, math.inf])
def test_no_time_between_lines_is_refused(tmp_path: Path, made: Make, every: float) -> None:
    engine = made(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(ValueError, match="every must be a number of seconds above 0"):
        txprof.log_pool(engine, every=every)


def test_what_is_no_number_or_no_engine_is_refused(tmp_path: Path, made: Make) -> None:
    with pytest.raises(TypeError, match="every must be a number of seconds, not '10'"):
        txprof.log_pool(made(f"sqlite:///{tmp_path / 'x.db'}"), every="10")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"log_pool\(\) takes a SQLAlchemy Engine"):
        txprof.log_pool("sqlite://")


def test_nothing_is_logged_where_txprof_is_switched_off(
    tmp_path: Path, made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TXPROF", "0")
    assert not txprof.log_pool(made(f"sqlite:///{tmp_path / 'x.db'}")).is_running
