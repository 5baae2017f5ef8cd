"""The plugin is built on the public API, and costs nothing until it is asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import txprof

PLUGINS = Path(__file__).parents[2] / "plugins"
FILES = sorted(PLUGINS.glob("**/*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PLUGINS).as_posix())
def test_it_uses_what_is_public(file: Path) -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for each in node.names:
                assert not each.name.startswith("txprof."), ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("txprof."), ast.unparse(node)
            if node.module == "txprof":
                names |= {each.name for each in node.names}
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "txprof"
        ):
            names.add(node.attr)
    assert names <= set(txprof.__all__)


def test_there_are_such_files() -> None:
    assert PLUGINS / "pytest_txprof" / "__init__.py" in FILES


def passed(folder: Path, *options: str, alone: bool = False) -> str:
    """What pytest prints of a test file there, whose tests pass; `alone`: with no other plugin."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, "test_it.py"],
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if alone else None,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_nothing_of_txprof_is_imported_until_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    assert 'pytest_txprof' in sys.modules\n"
        "    ours = ('txprof', 'pytest_txprof.watcher', 'pytest_txprof.summary')\n"
        "    assert not [name for name in ours if name in sys.modules]\n"
    )
    assert "txprof" not in passed(tmp_path)


def test_what_was_seen_of_a_test_goes_when_the_test_is_over(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import gc, pytest, txprof\n"
        "@pytest.mark.parametrize('number', range(3))\n"
        "def test_it(number):\n"
        "    gc.collect()\n"
        "    profiles = [each for each in gc.get_objects() if type(each) is txprof.Profile]\n"
        "    assert len(profiles) == 1\n"
    )
    assert "3 tests watched" in passed(tmp_path, "--txprof")


AS_IT_STARTS = """
import sys

def test_nothing():
    ours = [name for name in sys.modules if name.split(".")[0] in ("txprof", "pytest_txprof")]
    assert len(ours) <= {most}, sorted(ours)
    late = {late!r}
    assert not [name for name in late if name in sys.modules]
"""
LATE = (
    "txprof.bursts",
    "txprof.comments",
    "txprof.expected",
    "txprof.found",
    "txprof.pool.api",
    "txprof.profiled",
    "txprof.ran",
    "txprof.recording",
    "txprof.report",
    "txprof.rules.external_io",
    "txprof.rules.pool",
    "txprof.rules.queries",
    "txprof.rules.transactions",
    "txprof.sensors.inspecting",
    "txprof.shapes",
    "txprof.source",
    "pytest_txprof.known",
    "pytest_txprof.live",
    "pytest_txprof.recordings",
    "jinja2",
    "line_profiler",
    "msgspec",
    "rich",
    "sqlparse",
    "sysconfig",
)
"""What is imported once there is something to tell of."""

WHERE_NOTHING_IS_FOUND = """
import sys
from sqlalchemy import create_engine, text

def test_statements():
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER)"))
        connection.execute(text("INSERT INTO t VALUES (1)"))

def test_nothing_more_was_imported():
    late = {late!r}
    assert not [name for name in late if name in sys.modules]
"""
OF_STATEMENTS = {
    "txprof.bursts",
    "txprof.comments",
    "txprof.ran",
    "txprof.shapes",
    "txprof.source",
    "sysconfig",
}
"""Also where nothing is wrong with them."""


def test_little_is_imported_as_a_suite_starts(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(AS_IT_STARTS.format(late=LATE, most=72))
    passed(tmp_path, "-p", "pytest_txprof", "--txprof", alone=True)


def test_what_tells_of_findings_is_imported_with_the_first(tmp_path: Path) -> None:
    late = sorted(set(LATE) - OF_STATEMENTS)
    (tmp_path / "test_it.py").write_text(WHERE_NOTHING_IS_FOUND.format(late=late))
    options = ("-p", "pytest_txprof", "--txprof")
    assert "2 statements" in passed(tmp_path, *options, alone=True)
