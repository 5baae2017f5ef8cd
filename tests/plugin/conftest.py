"""A user's project, and its database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_project import Project

from txprof import context


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """A project that runs in this process may end while a sensor is broken, with a hold open."""
    yield
    for hold in context.holds_here.get():
        hold.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in list(os.environ):
        if name.startswith(("TXPROF_", "PYTEST_", "GITHUB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "project"))
    return Project(tmp_path / "project")


@pytest.fixture(params=["sqlite", "postgresql"])
def app_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The application's database, of each kind."""
    url = "sqlite://"
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgresql_url"))
    monkeypatch.setenv("APP_URL", url)
    return url
