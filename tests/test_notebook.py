"""`%%txprof`: a cell of a notebook is profiled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import assert_flagged, lines_of

import txprof

configuration = pytest.importorskip("traitlets.config")
interactiveshell = pytest.importorskip("IPython.core.interactiveshell")

CELL = """def work(engine):
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", "billing"):
            pass

work(engine)
"""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """An IPython shell with the extension, as a notebook has it."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    hooks = sys.displayhook, sys.excepthook
    # Its history is kept by a thread, for whose end the process would wait.
    config = {"HistoryManager": {"enabled": False, "hist_file": ":memory:"}}
    shell = interactiveshell.InteractiveShell(config=configuration.Config(config))
    shell.run_line_magic("load_ext", "txprof")
    shell.run_cell(
        "import txprof\nfrom sqlalchemy import create_engine, text\n"
        "engine = create_engine('sqlite://')"
    )
    yield shell
    shell.run_cell("engine.dispose()")
    sys.displayhook, sys.excepthook = hooks


def test_a_cell_is_profiled_and_its_profile_is_the_result(shell: Any) -> None:
    profile = shell.run_cell_magic("txprof", "", CELL)
    assert isinstance(profile, txprof.Profile)
    assert profile.name == "cell"
    assert_flagged(profile, "io-in-transaction", line=4)
    assert shell.user_ns["work"].__name__ == "work"


def test_functions_of_the_notebook_and_of_modules_are_line_profiled(shell: Any) -> None:
    shell.run_cell(CELL)
    magic = "--lines work --lines json:dumps --name twice -o found"
    assert shell.run_cell_magic("txprof", magic, "work(engine); work(engine)") is None
    profile = shell.user_ns["found"]
    assert profile.name == "twice"
    assert lines_of(profile, "work")[3].hits == 2
    assert {function.site.function for function in profile.functions} == {"work", "dumps"}


def test_a_profile_can_be_saved(shell: Any, tmp_path: Path) -> None:
    path = tmp_path / "my cell.txprof"
    shell.run_cell_magic("txprof", f"--save '{path}'", CELL)
    assert_flagged(txprof.load(path), "io-in-transaction")


def test_a_cell_that_fails_shows_its_own_traceback(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run_cell_magic("txprof", "", "1 / 0") is None
    out = capsys.readouterr().out
    assert "ZeroDivisionError" in out
    assert "notebook.py" not in out
    assert not txprof.is_active()


def test_the_profile_of_a_cell_that_fails_is_kept_where_it_was_asked_for(
    shell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "failed.txprof"
    magic = f"--save {path} -o found"
    assert shell.run_cell_magic("txprof", magic, CELL + "1 / 0") is None
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert_flagged(shell.user_ns["found"], "io-in-transaction", line=4)
    assert_flagged(txprof.load(path), "io-in-transaction", line=4)


def test_a_cell_that_cannot_start_replaces_no_earlier_profile(
    shell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cell.txprof"
    magic = f"--save {path} -o found"
    shell.run_cell_magic("txprof", magic, CELL)
    earlier = shell.user_ns["found"]
    shell.run_cell_magic("txprof", magic, CELL + "work(]")
    assert "SyntaxError" in capsys.readouterr().out
    assert shell.user_ns["found"] is earlier
    assert_flagged(txprof.load(path), "io-in-transaction")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("--what", "unrecognized arguments: --what"),
        ("--lines nothing", "--lines nothing: the notebook has no such function"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(shell: Any, line: str, complaint: str) -> None:
    from txprof.notebook import run_cell

    with pytest.raises(ValueError, match=complaint) as raised:
        run_cell(shell, line, "")
    assert "%%txprof [--lines NAME]" in str(raised.value)
