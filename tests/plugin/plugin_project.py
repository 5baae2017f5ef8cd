"""A project of a user's own: an application, its tests, and a run of pytest on them."""

from __future__ import annotations

import contextlib
import gc
import io
import linecache
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from textwrap import dedent

import pytest

from txprof.settings import project_root
from txprof.source import is_in_loop

APP = '''
import os
import txprof
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

URL = os.environ.get("APP_URL", "sqlite://")

def charge(what="charge"):
    with txprof.external_call("http", f"POST https://api.example.com/{what}"):
        return what

def process(session):
    """Its own transaction, with a call inside."""
    session.execute(text("SELECT 1"))
    charge()  # mixes
    session.commit()

def split(session):
    """The same, put right."""
    session.execute(text("SELECT 1"))
    session.commit()
    charge()

def only_calls(session=None):
    return charge()

def ask(session, number):
    return session.scalar(text("SELECT :number"), {"number": number})

def asks_often(session):
    return [ask(session, number) for number in range(7)]

def leaks(engine):
    engine.connect().execute(text("SELECT 1"))

def nested(connection):
    """A savepoint of its own."""
    with connection.begin_nested():
        connection.execute(text("SELECT 1"))
        charge()
'''

CONFTEST = """
import app
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

@pytest.fixture(scope="session")
def engine():
    engine = create_engine(app.URL)
    yield engine
    engine.dispose()

@pytest.fixture
def session(engine):
    with engine.connect() as connection:
        outer = connection.begin()
        connection.execute(text("SELECT 1"))
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        outer.rollback()
"""


class Project:
    """Files in a folder of its own; `run` runs pytest on it in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.write(app=APP, conftest=CONFTEST)

    def write(self, **modules: str) -> None:
        for name, source in modules.items():
            file = self.folder / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(source).lstrip(), encoding="utf-8")

    def ini(self, *lines: str) -> None:
        (self.folder / "pytest.ini").write_text("\n".join(["[pytest]", *lines]) + "\n")

    def run_here(self, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """The same in this process, which is much faster: where nothing need be apart."""
        command = [*_without(*plugins), "-p", "no:faulthandler", "--capture=sys", *arguments]
        out, err = io.StringIO(), io.StringIO()
        path = list(sys.path)
        is_in_loop.cache_clear()  # files are read once a process
        linecache.clearcache()
        project_root.cache_clear()
        sys.path.insert(0, str(self.folder))
        gc.freeze()  # pytest collects five times at its end, and all that other tests left is large
        try:
            with (
                contextlib.chdir(self.folder),
                redirect_stdout(out),
                redirect_stderr(err),
                warnings.catch_warnings(),
            ):
                warnings.resetwarnings()
                warnings.simplefilter("ignore", ResourceWarning)
                try:
                    status = pytest.main(command)
                finally:
                    self._forget()
        finally:
            gc.unfreeze()
            sys.path[:] = path
            project_root.cache_clear()
        return _result(status, out.getvalue(), err.getvalue())

    def _forget(self) -> None:
        """What the project left behind and did not close goes now: it is none of ours."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(str(self.folder)):
                del sys.modules[name]
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)  # pytest keeps the last failure there
        for _ in range(3):
            gc.collect()

    def run(self, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """`plugins`: those of `_PLUGINS` that are to be loaded."""
        command = [sys.executable, "-m", "pytest", *_without(*plugins), *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            cwd=self.folder,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        return _result(done.returncode, done.stdout, done.stderr)


_PLUGINS = {
    "asyncio": "asyncio",
    "postgresql": "pytest_postgresql",
    "randomly": "randomly",
    "rerunfailures": "rerunfailures",
    "sqlalchemy_mock": "pytest_sqlalchemy_mock",
    "xdist": "xdist",
}
"""By what tests call them: under which name pytest loads them."""


def _without(*wanted: str) -> list[str]:
    others = [name for plugin, name in _PLUGINS.items() if plugin not in wanted]
    return ["-p", "no:cacheprovider", *(part for name in others for part in ("-p", f"no:{name}"))]


def _result(status: int, out: str, err: str) -> pytest.RunResult:
    print(out, err)  # shown if the test fails
    return pytest.RunResult(status, out.splitlines(), err.splitlines(), 0)


def failed(result: pytest.RunResult) -> dict[str, str]:
    """Test -> what the short summary says of it."""
    found = {}
    for line in result.outlines:
        if line.startswith(("FAILED ", "ERROR ")) and "::" in line:
            place, _, message = line.partition(" ")[2].partition(" - ")
            found[place.rpartition("::")[2]] = message
    return found
