"""The command `txprof`: reports of recordings, errors in one line, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from children import assert_one_line_error, child
from sqlalchemy import create_engine, text

import txprof
from txprof.cli import main

TXPROF = [sys.executable, "-m", "txprof"]


def charge(engine_url: str) -> None:
    engine = create_engine(engine_url)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", "billing.charge"):
            pass
    engine.dispose()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The recording of one call of `charge`, with one finding."""
    with txprof.profile(charge, on_finding="ignore") as prof:
        charge("sqlite://")
    path = tmp_path / "one.txprof"
    prof.save(path)
    return path


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TXPROF, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        **options,  # type: ignore[call-overload]
    )


# --- report -------------------------------------------------------------------------------------


def test_report_prints_what_the_profile_prints(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(recording)]) == 0
    assert capsys.readouterr().out == txprof.load(recording).render()


def test_report_merges_several_recordings(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = recording.with_name("other.txprof")
    other.write_bytes(recording.read_bytes())
    assert main(["report", str(recording), str(other)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("txprof ── charge ── 2 calls ")
    assert "io-in-transaction: rpc billing.charge ×2" in out


def test_report_is_as_wide_as_asked(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(recording), "--width", "60"]) == 0
    assert 50 <= max(map(len, capsys.readouterr().out.splitlines())) <= 60


@pytest.mark.parametrize(
    ("chosen", "setting", "colored"),
    [
        ("always", "never", True),
        ("never", "always", False),
        ("auto", "always", False),
        (None, "always", True),
        (None, "auto", False),
    ],
)
def test_report_colors_as_asked_or_else_as_set(
    recording: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    chosen: str | None,
    setting: str,
    colored: bool,
) -> None:
    monkeypatch.setenv("TXPROF_COLOR", setting)
    option = [] if chosen is None else ["--color", chosen]
    assert main(["report", str(recording), *option]) == 0
    assert ("\x1b[" in capsys.readouterr().out) is colored


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return write


def newer(data: bytes) -> bytes:
    document = json.loads(data)
    return json.dumps({**document, "version": 99, "txprof": "9.0"}).encode()


def missing_field(data: bytes) -> bytes:
    document = json.loads(data)
    del document["recording"]["seconds"]
    return json.dumps(document).encode()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        pytest.param(Path.unlink, "cannot be read: No such file", id="missing"),
        pytest.param(folder, "no recordings (*.txprof, *.lprof) in this folder", id="folder"),
        pytest.param(damaged(lambda _: b""), "the file is empty", id="empty"),
        pytest.param(damaged(lambda data: data[:-100]), "truncated or damaged", id="truncated"),
        pytest.param(damaged(missing_field), "damaged recording", id="field missing"),
        pytest.param(damaged(newer), "written by a newer txprof (9.0)", id="newer"),
        pytest.param(damaged(lambda _: b'{"a": 1}'), "not a txprof recording", id="other JSON"),
        pytest.param(damaged(lambda _: b"[]"), "not a txprof recording", id="a list"),
        pytest.param(damaged(lambda _: b"hello\n"), "not a txprof recording", id="text"),
        pytest.param(damaged(lambda _: b"\x80\x04\x95"), "not a txprof recording", id="binary"),
        pytest.param(damaged(lambda _: b"[" * 100_000), "not a txprof recording", id="deep"),
    ],
)
def test_report_of_a_bad_file_is_one_line_and_status_2(
    recording: Path, spoil: Callable[[Path], None], cause: str
) -> None:
    good = recording.with_name("good.txprof")
    good.write_bytes(recording.read_bytes())
    spoil(recording)
    assert_one_line_error(run("report", recording), str(recording), cause)
    assert_one_line_error(run("report", good, recording), str(recording), cause)


def test_an_error_stays_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    assert_one_line_error(run("report", tmp_path / "a\nb\x1bc.txprof"), "a b c.txprof: cannot")


def test_a_wrong_setting_is_one_line_and_status_2(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.txprof]\ncontext_lines = "two"\n')
    done = run("report", recording, cwd=tmp_path)
    assert_one_line_error(done, "pyproject.toml", "context_lines must be a number")
    environment = {**os.environ, "TXPROF_COLOUR": "never"}
    done = run("report", recording, env=environment)
    assert_one_line_error(done, "TXPROF_COLOUR", "did you mean 'color'?")


def test_a_reader_that_leaves_early_is_no_error(recording: Path) -> None:
    command = [*TXPROF, "report", str(recording)]
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 0


# --- usage --------------------------------------------------------------------------------------


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"txprof {txprof.__version__}\n")


def test_help_names_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in ("report", "show", "diff", "merge", "demo"):
        assert f"\n    {command} " in done.stdout


def test_help_of_a_command_names_its_options() -> None:
    done = run("report", "--help")
    assert done.returncode == 0
    for option in ("--format {text", "--width N", "--color {auto,always,never}"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["repotr"], "invalid choice: 'repotr'"),
        (["report"], "the following arguments are required: FILE"),
        (["report", "x", "--width", "0"], "--width: must be a whole number from 1 on, not '0'"),
        (["report", "x", "--format", "pdf"], "invalid choice: 'pdf'"),
        (["report", "x", "--color", "blue"], "invalid choice: 'blue'"),
        (["demo", "--products", "0"], "--products: must be a whole number from 1 on, not '0'"),
        (["demo", "--llm-ms", "-1"], "--llm-ms: must be a whole number from 0 on, not '-1'"),
    ],
)
def test_wrong_usage_says_what_is_allowed(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("txprof rep", {"report "}),
        ("txprof report --fo", {"--format "}),
        ("txprof report --format h", {"html "}),
    ],
)
def test_a_shell_completes_commands_and_options(
    line: str, expected: set[str], tmp_path: Path
) -> None:
    answer = tmp_path / "answer"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    done = run(env=environment)
    assert done.returncode == 0, done.stderr
    assert set(answer.read_text().split("\n")) == expected


def test_commands_import_only_what_they_need() -> None:
    code = (
        "import sys, txprof.cli\n"
        "heavy = {'rich', 'jinja2', 'sqlparse', 'sqlalchemy', 'line_profiler'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
