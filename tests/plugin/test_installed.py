"""The plugin of an installed txprof: pytest marks all packages beside a plugin for rewriting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "txprof", ROOT / "plugins/txprof_web", ROOT / "plugins/pytest_txprof")

TEST = """
import sys

def test_it():
    ours = {
        name: type(module.__loader__).__name__
        for name, module in sys.modules.items()
        if name.split(".")[0] in ("txprof", "pytest_txprof") and hasattr(module, "__file__")
    }
    assert len(ours) > 50
    rewritten = {name for name, loader in ours.items() if loader == "AssertionRewritingHook"}
    assert rewritten <= {"pytest_txprof", "pytest_txprof.guard"}  # imported before it can ask
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder where pytest finds what pip writes down of a txprof that is not editable."""
    written = tmp_path / "txprof_as_installed-1.0.dist-info"
    written.mkdir()
    (written / "METADATA").write_text("Metadata-Version: 2.1\nName: txprof-as-installed\n")
    for package in PACKAGES:
        (tmp_path / package.name).symlink_to(package)
    (written / "RECORD").write_text("".join(f"{each.name}/__init__.py,,\n" for each in PACKAGES))
    (written / "entry_points.txt").write_text("[pytest11]\nas_installed = colorsys\n")
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )


def test_its_modules_are_imported_from_their_own_byte_code(installed: Path) -> None:
    (installed / "test_it.py").write_text(TEST)
    done = run(installed, "-m", "pytest", "--txprof", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", ["txprof", "txprof_web"])
def test_nobody_is_warned_where_it_was_imported_before(installed: Path, package: str) -> None:
    (installed / "test_it.py").write_text("def test_it(): pass\n")
    program = f"import sys, {package}, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    filters = ("-W", "error::pytest.PytestAssertRewriteWarning")
    done = run(installed, "-c", program, "-q", "-p", "no:cacheprovider", *filters)
    assert done.returncode == 0, done.stdout + done.stderr
