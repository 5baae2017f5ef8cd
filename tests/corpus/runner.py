"""Runs one program on a fresh database, and compares what was found with its verdict."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import txprof
from corpus.models import Base, seed
from corpus.program import PROGRAMS, RULES, Place, Program

TOPICS = (
    "views",
    "serializers",
    "templates",
    "resolvers",
    "repositories",
    "caches",
    "reports",
    "pagination",
    "eager",
    "deferred",
    "inheritance",
    "jobs",
    "imports",
    "writes",
    "events",
    "async_services",
    "threads",
)


def programs() -> list[Program]:
    """All of them, by topic."""
    for topic in TOPICS:
        importlib.import_module(f"corpus.{topic}")
    return list(PROGRAMS.values())


class SQLite:
    """Fresh databases as copies of a file that is seeded once."""

    def __init__(self, folder: Path) -> None:
        self._seeded = folder / "seeded.db"
        self._copies = (folder / f"{number}.db" for number in itertools.count())
        _seed(make_url(f"sqlite:///{self._seeded}"))

    @contextmanager
    def fresh(self) -> Iterator[URL]:
        copy = next(self._copies)
        shutil.copy(self._seeded, copy)
        yield make_url(f"sqlite:///{copy}")
        copy.unlink()


class PostgreSQL:
    """A database of its own on that server, emptied and seeded each time."""

    NAME = "txprof_corpus"

    def __init__(self, url: str) -> None:
        admin = create_engine(url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {self.NAME} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {self.NAME}"))
        admin.dispose()
        self._url = admin.url.set(database=self.NAME)
        _seed(self._url)

    @contextmanager
    def fresh(self) -> Iterator[URL]:
        engine = create_engine(self._url)
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        seed(engine)
        engine.dispose()
        yield self._url


@dataclass(frozen=True, slots=True)
class Outcome:
    """A program, and what was found in it."""

    program: Program
    found: frozenset[Place]

    @property
    def hits(self) -> frozenset[Place]:
        return self.found & self.program.expected

    @property
    def false_alarms(self) -> frozenset[Place]:
        return self.found - self.program.expected

    @property
    def missed(self) -> frozenset[Place]:
        return self.program.expected - self.found


def run(program: Program, url: URL) -> Any:
    """What it returns."""
    if program.takes in (AsyncSession, AsyncEngine):
        return asyncio.run(_run_async(program, url))
    engine = create_engine(url)
    try:
        if program.takes is Engine:
            return program.function(engine)
        with Session(engine) as session:
            return program.function(session)
    finally:
        engine.dispose()


def judge(program: Program, url: URL) -> tuple[Outcome, Any]:
    """The same under txprof: the outcome, and what the program returned."""
    with txprof.profile(on_finding="ignore", report=None) as prof:
        value = run(program, url)
    found = frozenset(
        Place(finding.rule, finding.site.file, finding.site.line)
        for finding in prof.findings
        if finding.rule in RULES
    )
    return Outcome(program, found), value


async def _run_async(program: Program, url: URL) -> Any:
    if url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")
    engine = create_async_engine(url)
    try:
        if program.takes is AsyncEngine:
            return await program.function(engine)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            return await program.function(session)
    finally:
        await engine.dispose()


def _seed(url: URL) -> None:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    seed(engine)
    engine.dispose()
