"""A project of a user's own: an application, its tests, and a run of pytest on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

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

    def run(self, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        """`plugins`: of asyncio, randomly, rerunfailures, xdist those that are to be loaded."""
        others = {"asyncio", "randomly", "rerunfailures", "xdist"} - set(plugins)
        off = [part for name in sorted(others) for part in ("-p", f"no:{name}")]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *off, *arguments]
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            cwd=self.folder,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=300,
        )
        print(done.stdout, done.stderr)  # shown if the test fails
        return pytest.RunResult(
            done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), 0
        )


def failed(result: pytest.RunResult) -> dict[str, str]:
    """Test -> what the short summary says of it."""
    found = {}
    for line in result.outlines:
        if line.startswith(("FAILED ", "ERROR ")) and "::" in line:
            place, _, message = line.partition(" ")[2].partition(" - ")
            found[place.rpartition("::")[2]] = message
    return found
