"""Settings: defaults < pyproject < environment < arguments; what nobody knows is an error."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import txprof
from txprof import settings
from txprof.settings import Settings, current, project_root


@pytest.fixture
def patience() -> None:
    """Here the thresholds of the rules about time are their own."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project to be in, with an empty pyproject.toml."""
    (tmp_path / "pyproject.toml").write_text("")
    project_root.cache_clear()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    project_root.cache_clear()


def configure(project: Path, toml: str) -> None:
    (project / "pyproject.toml").write_text(toml)
    settings._load.cache_clear()


def test_without_any_the_defaults_count(project: Path) -> None:
    assert current() == Settings()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))]
)
def test_they_are_copied_and_do_not_change(copied: Callable[[Settings], Settings]) -> None:
    found = Settings(warning_ms=5, disable=["n-plus-one"])  # type: ignore[call-arg, unused-ignore]
    assert copied(found) == found
    assert copied(found) != Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.warning_ms = 6  # type: ignore[misc]


def test_each_layer_overrides_the_one_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(project, '[tool.txprof]\ncontext_lines = 5\nwarning_ms = 7\non_finding = "ignore"\n')
    monkeypatch.setenv("TXPROF_CONTEXT_LINES", "6")
    monkeypatch.setenv("TXPROF_WARNING_MS", "8")
    found = current().with_arguments({"warning_ms": 9})
    assert (found.on_finding, found.context_lines, found.warning_ms) == ("ignore", 6, 9)


def test_pyproject_is_found_from_a_folder_below(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(project, "[tool.txprof]\ncontext_lines = 5\n")
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")
    assert current().context_lines == 5


def test_the_environment_speaks_every_type(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXPROF_REPORT", "none")
    monkeypatch.setenv("TXPROF_ALLOW_HOSTS", "localhost:4566, *.internal")
    monkeypatch.setenv("TXPROF_URL_QUERY", "1")
    monkeypatch.setenv("TXPROF_CRITICAL_MS", "12.5")
    found = current()
    assert found.report is None
    assert found.allow_hosts == ("localhost:4566", "*.internal")
    assert found.url_query is True
    assert found.critical_ms == 12.5


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[tool.txprof]\nalow_hosts = []", "unknown setting: 'alow_hosts' (did you mean"),
        ("[tool.txprof]\ncontext_lines = 'two'", "context_lines must be a number, not 'two'"),
        ("[tool.txprof]\nallow_kinds = ['cahce']", "unknown kind 'cahce'; known are http"),
        ("[tool.txprof]\nkinds = ['My Kind']", "unknown kind 'My Kind'"),
        ("[tool]\ntxprof = 3", "[tool.txprof] must be a table"),
        ("[tool.txprof", "pyproject.toml: cannot be read"),
    ],
)
def test_bad_settings_in_pyproject_name_file_and_value(project: Path, toml: str, says: str) -> None:
    configure(project, toml)
    with pytest.raises((ValueError, TypeError)) as caught:
        txprof.profile(lambda: None)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TXPROF_ALOW_HOSTS", "x", "variable TXPROF_ALOW_HOSTS sets an unknown setting"),
        ("TXPROF_CONTEXT_LINES", "two", "variable TXPROF_CONTEXT_LINES: context_lines must be"),
        ("TXPROF_ON_FINDING", "explode", "must be one of 'log', 'raise', 'ignore'"),
        ("TXPROF_URL_QUERY", "maybe", "url_query must be true or false"),
    ],
)
def test_bad_variables_are_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises((ValueError, TypeError)) as caught:
        txprof.profile(lambda: None)
    assert says in str(caught.value)


def test_import_is_light() -> None:
    program = (
        "import sys, txprof; heavy = {'rich', 'sqlparse', 'line_profiler', 'jinja2', 'sqlalchemy', "
        "'wrapt', 'msgspec', 'requests', 'httpx'} & set(sys.modules); print(sorted(heavy))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
