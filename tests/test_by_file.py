"""What to profile, by the file that it is written in."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import findings_of
from sqlalchemy import Engine, text

import txprof

SOURCE = """
import functools
import json

def process(number):
    def inner():
        return number + 1
    return inner()

@functools.cache
def cached(number):
    return number

class Researcher:
    class Inner:
        def deep(self):
            return 2

def never():
    pass
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a program with jobs/daily.py and jobs/night/late.py, not imported yet."""
    for folder, name in (("jobs", "by_file_daily"), ("jobs/night", "by_file_late")):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        (path / f"{name}.py").write_text(SOURCE)
        monkeypatch.syspath_prepend(path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("by_file_daily", "by_file_late"):
        sys.modules.pop(name, None)


def run(*modules: str) -> None:
    for name in modules:
        module = importlib.import_module(name)
        module.process(1)
        module.cached(1)
        module.Researcher.Inner().deep()


@pytest.mark.parametrize("imported_before", [True, False])
@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("jobs/*.py", {"by_file_daily.py"}),
        ("jobs/**/*.py", {"by_file_daily.py", "by_file_late.py"}),
        ("**/by_file_lat?.py", {"by_file_late.py"}),
        ("{folder}/jobs/by_file_daily.py", {"by_file_daily.py"}),
    ],
)
def test_what_is_called_of_a_matching_file_is_profiled(
    pattern: str, files: set[str], imported_before: bool, jobs: Path
) -> None:
    if imported_before:
        run("by_file_daily", "by_file_late")
    with txprof.profile(pattern.format(folder=jobs)) as prof:
        run("by_file_daily", "by_file_late")
    assert {Path(function.site.file).name for function in prof.functions} == files
    expected = {"process": 1, "Researcher.Inner.deep": 1}
    if not imported_before:
        expected["cached"] = 1
    if sys.version_info >= (3, 12):  # nested functions: code is timed there, before it is one
        expected["process.<locals>.inner"] = 1
    for file in files:
        calls = {
            function.site.function: function.calls
            for function in prof.functions
            if function.site.file.endswith(file)
        }
        assert calls == expected  # `never` is not shown


def test_two_profiles_of_a_file_see_what_is_theirs(jobs: Path) -> None:
    importlib.import_module("by_file_daily")
    with txprof.profile("jobs/*.py") as outer:
        run("by_file_daily")
        with txprof.profile("jobs/*.py") as inner:
            run("by_file_daily")
    assert {each.calls for each in inner.functions if each.site.function == "process"} == {1}
    assert {each.calls for each in outer.functions if each.site.function == "process"} == {2}


def test_a_pattern_that_matches_no_file_is_told(
    jobs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with txprof.profile("jobs/(daily).py"):
        run("by_file_daily")
    assert "profile('jobs/(daily).py') matched no function of an imported module" in caplog.text


# --- entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [True, False])
def test_repeats_are_counted_within_an_entry(apart: bool, engine: Engine) -> None:
    def serve() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    with txprof.profile(on_finding="ignore") as prof:
        assert txprof.is_active()
        for _ in range(6):
            if apart:
                with txprof.entry():
                    serve()
            else:
                serve()
    assert len(findings_of(prof, "n-plus-one")) == (0 if apart else 1)
    assert sum(row.count for row in prof.recorded.statements) == 6


async def _asks(engine: Engine) -> None:
    async with txprof.entry():
        with engine.connect() as connection:
            for _ in range(6):
                connection.execute(text("SELECT 1"))


def test_what_one_entry_repeats_is_found(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        asyncio.run(_asks(engine))
    assert len(findings_of(prof, "n-plus-one")) == 1


def test_an_entry_that_nobody_watches_is_nothing() -> None:
    assert not txprof.is_active()
    with txprof.entry():
        assert not txprof.is_active()
