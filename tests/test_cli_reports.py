"""`txprof report`, `merge`, `diff` and `show`: what they read, what they write, how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import rich_recording

import txprof
from txprof.cli import main
from txprof.commands import progress, recordings
from txprof.recorded import Recorded
from txprof.report import FORMATS
from txprof.results import Profile

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def usual_thresholds(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of recordings that were made up; no clock of this machine is in them."""
    for setting in ("idle_ms", "long_transaction_ms", "pool_wait_ms"):
        monkeypatch.delenv(f"TXPROF_{setting.upper()}")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """The rich recording, saved."""
    path = tmp_path / "before.txprof"
    rich_recording.profile().save(path)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str, Recorded], Path]:
    """Saves a recording under a name."""

    def save(name: str, recorded: Recorded) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Profile.of(recorded).save(path)
        return path

    return save


def failed(capsys: Capture, *arguments: object) -> str:
    """The complaint of a command line that ends with status 2."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("txprof: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def findings(capsys: Capture, *arguments: object) -> list[str]:
    """The rules of the findings that `report --format json` has."""
    assert main(["report", *map(str, arguments), "--format", "json"]) == 0
    return [finding["rule"] for finding in json.loads(capsys.readouterr().out)["findings"]]


# --- which recordings -----------------------------------------------------------------------------


def test_a_folder_is_all_recordings_below_it(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    saved("parts/a.txprof", rich_recording.recorded())
    saved("parts/deep/b.txprof", rich_recording.recorded())
    folder = before.parent / "parts"
    (folder / ".c.txprof.tmp").write_text("half of one")
    (folder / ".d.txprof").write_text("half of one")
    (folder / "notes.txt").write_text("no recording")
    assert main(["report", str(folder), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 2


def test_a_pattern_is_all_files_that_match(before: Path, capsys: Capture) -> None:
    (before.parent / "other.txprof").write_bytes(before.read_bytes())
    assert main(["report", str(before.parent / "*.txprof"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 2


def test_a_file_that_is_named_twice_counts_once(before: Path, capsys: Capture) -> None:
    folder = before.parent
    (folder / "link.txprof").symlink_to(before)
    roundabout = folder / ".." / folder.name / before.name
    names = [str(before), str(folder), str(roundabout)]
    assert main(["report", *names, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 1


def test_many_recordings_are_merged_in_batches(
    before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        (before.parent / f"{number}.txprof").write_bytes(before.read_bytes())
    files = recordings.found([str(before.parent)])
    at_once = recordings.read(files).to_dict()
    monkeypatch.setattr(recordings, "AT_ONCE", 2)
    assert recordings.read(files).to_dict() == at_once
    assert recordings.read(files).recorded.runs == 7


def test_nothing_found_says_where_it_was_looked_for(tmp_path: Path, capsys: Capture) -> None:
    assert "no recordings (*.txprof, *.lprof) in this folder" in failed(capsys, "report", tmp_path)
    pattern = tmp_path / "*.txprof"
    assert f"{pattern}: no file matches this pattern" in failed(capsys, "report", pattern)


# --- report ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_a_report_goes_to_a_file(format: str, before: Path, capsys: Capture) -> None:
    out = before.parent / "report"
    out.write_text("the one before")
    assert main(["report", str(before), "--format", format, "-o", str(out)]) == 0
    assert capsys.readouterr().out == ""
    assert out.read_bytes().decode("utf-8") == txprof.load(before).render(format)
    assert sorted(path.name for path in out.parent.iterdir()) == ["before.txprof", "report"]


def test_a_report_that_cannot_be_written_says_so(before: Path, capsys: Capture) -> None:
    out = before.parent / "none" / "report.html"
    assert f"{out}: cannot be written: No such file" in failed(capsys, "report", before, "-o", out)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--rule", "pool-wait"], {"pool-wait"}),
        (["--rule", "pool-wait", "--rule", "write-loop"], {"pool-wait", "write-loop"}),
        (["--severity", "error", "--function", "Researcher.exec"], {"connection-leak"}),
        (["--function", "exec", "--rule", "io-while-held"], {"io-while-held"}),
        (["--function", "no*"], set()),
        (["--path", "tests/golden", "--rule", "n-plus-one"], {"n-plus-one"}),
        (["--path", "tests/*/research.py", "--rule", "n-plus-one"], {"n-plus-one"}),
        (["--path", "app"], set()),
    ],
)
def test_findings_are_filtered(
    options: list[str], expected: set[str], before: Path, capsys: Capture
) -> None:
    assert set(findings(capsys, before, *options)) == expected


def test_functions_are_filtered_with_their_findings(before: Path, capsys: Capture) -> None:
    assert main(["report", str(before), "--function", "exec"]) == 0
    out = capsys.readouterr().out
    assert "def exec(self)" in out
    assert "def process(product_id)" not in out


def test_findings_are_sorted_and_cut(before: Path, capsys: Capture) -> None:
    by_time = findings(capsys, before, "--sort", "seconds", "--top", "3")
    assert by_time == ["long-transaction", "idle-in-transaction", "io-in-transaction"]
    by_count = findings(capsys, before, "--sort", "count", "--top", "2")
    assert set(by_count) == {"n-plus-one", "write-loop"}


def test_a_rule_that_nobody_knows_is_an_error(before: Path, capsys: Capture) -> None:
    complaint = failed(capsys, "report", before, "--rule", "n-plus-two")
    assert "unknown rule 'n-plus-two' (did you mean 'n-plus-one'?)" in complaint


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 0),
        (["--fail-on", "error"], 1),
        (["--fail-on", "info"], 1),
        (["--fail-on", "write-loop"], 1),
        (["--fail-on", "error", "--rule", "pool-wait"], 0),
        (["--fail-on", "warning", "--rule", "pool-wait"], 1),
        (["--fail-on", "write-loop", "--top", "1"], 1),
        (["--fail-on", "pool-wait", "--fail-on", "n-plus-one", "--function", "process"], 1),
        (["--fail-on", "pool-wait", "--function", "process"], 0),
    ],
)
def test_fail_on_decides_the_exit_status(
    options: list[str], status: int, before: Path, capsys: Capture
) -> None:
    assert main(["report", str(before), *options]) == status
    captured = capsys.readouterr()
    assert ("that --fail-on names" in captured.err) is bool(status)
    assert captured.out.startswith("txprof ── process")


def test_fail_on_takes_a_rule_or_a_severity(before: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["report", str(before), "--fail-on", "errors"])
    assert exit.value.code == 2
    assert "or a severity: error, warning, info" in capsys.readouterr().err


# --- merge ----------------------------------------------------------------------------------------


def test_merge_saves_the_sum(before: Path, capsys: Capture) -> None:
    out = before.parent / "sum.txprof"
    (before.parent / "more.txprof").write_bytes(before.read_bytes())
    assert main(["merge", str(out), str(before.parent)]) == 0
    assert capsys.readouterr().out == f"{out}: 2 recordings, 2 runs\n"
    assert txprof.load(out).recorded.calls == 6


def test_merge_replaces_only_when_told_to_and_does_not_count_itself(
    before: Path, capsys: Capture
) -> None:
    out = before.parent / "sum.txprof"
    assert main(["merge", str(out), str(before)]) == 0
    assert "is there already; --force replaces it" in failed_after(capsys, "merge", out, before)
    assert main(["merge", "--force", str(out), str(before.parent)]) == 0
    assert txprof.load(out).recorded.runs == 1
    assert "nothing to merge" in failed_after(capsys, "merge", "--force", out, out)


def failed_after(capsys: Capture, *arguments: object) -> str:
    capsys.readouterr()
    return failed(capsys, *arguments)


# --- diff -----------------------------------------------------------------------------------------


def without_http(recorded: Recorded) -> Recorded:
    return replace(
        recorded, external_calls=[row for row in recorded.external_calls if row.kind != "http"]
    )


def test_diff_of_a_recording_with_itself_is_no_worse(before: Path, capsys: Capture) -> None:
    assert main(["diff", str(before), str(before)]) == 0
    out = capsys.readouterr().out
    assert "verdict  no worse" in out
    assert "\nnew " not in out
    assert out.count("\nstill ") == 11


def test_diff_says_what_was_fixed(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    after = saved("after.txprof", without_http(rich_recording.recorded()))
    assert main(["diff", str(before), str(after)]) == 0
    out = capsys.readouterr().out
    assert "fixed    error    io-in-transaction   tests/golden/research.py:9 process" in out
    assert out.endswith("verdict  better: 1 finding fixed\n")


def test_diff_fails_for_what_is_new(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    after = saved("after.txprof", without_http(rich_recording.recorded()))
    assert main(["diff", str(after), str(before)]) == 1
    assert "verdict  worse: 1 new finding\n" in capsys.readouterr().out
    assert main(["diff", str(after), str(before), "--fail-on", "pool-wait"]) == 0


def test_diff_knows_findings_again_when_lines_move(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    moved = rich_recording.recorded()
    for row in moved.external_calls:
        row.path = tuple(site._replace(line=site.line + 5) for site in row.path)
        row.opened = tuple(site._replace(line=site.line + 5) for site in row.opened)
    after = saved("after.txprof", moved)
    assert main(["diff", str(before), str(after)]) == 0
    assert "\nnew " not in capsys.readouterr().out


def test_diff_compares_per_call(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    longer = rich_recording.recorded()
    twice = txprof.merge(Profile.of(longer), Profile.of(longer)).recorded
    after = saved("after.txprof", twice)
    assert main(["diff", str(before), str(after), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unit"] == "call"
    assert all(kept["count"]["before"] == kept["count"]["after"] for kept in document["kept"])
    assert all(function["lines"] == [] for function in document["functions"])


def test_diff_shows_the_lines_that_moved(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    faster = rich_recording.recorded()
    (line,) = (line for line in faster.functions[0].lines if line.line == 9)
    line.seconds = 0.3
    after = saved("after.txprof", faster)
    assert main(["diff", str(before), str(after)]) == 0
    (shown,) = (line for line in capsys.readouterr().out.splitlines() if "fetch_specs" in line)
    assert " ".join(shown.split()) == (
        "9 1.94 s → 100 ms (−95 %) text = llm.fetch_specs(product.name)"
    )


@pytest.mark.parametrize(("percent", "status"), [(50, 1), (300, 0)])
def test_diff_fails_for_functions_that_hold_longer(
    percent: int, status: int, before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    slower = rich_recording.recorded()
    slower.functions[0].held_seconds = 16.0
    after = saved("after.txprof", slower)
    assert main(["diff", str(before), str(after), "--slower", str(percent)]) == status
    said = "worse: process holds a connection for 150 % longer" in capsys.readouterr().out
    assert said is bool(status)


def test_diff_for_a_comment_is_markdown(
    before: Path, saved: Callable[[str, Recorded], Path], capsys: Capture
) -> None:
    after = saved("after.txprof", without_http(rich_recording.recorded()))
    assert main(["diff", str(after), str(before), "--format", "markdown"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["<!-- txprof diff -->", "### txprof: worse: 1 new finding"]
    assert "| **new** | `io-in-transaction` | `tests/golden/research.py:9` process |" in (
        "\n".join(lines)
    )


# --- show -----------------------------------------------------------------------------------------


def fingerprint(rule: str) -> str:
    return next(f.fingerprint for f in rich_recording.profile().findings if f.rule == rule)


def test_show_tells_everything_of_one_finding(before: Path, capsys: Capture) -> None:
    assert main(["show", fingerprint("io-in-transaction")[:6], str(before)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("error  io-in-transaction  " + fingerprint("io-in-transaction"))
    for part in (
        "line to change      tests/golden/research.py:9 process",
        "transaction opened  tests/golden/research.py:8 process",
        "  tests/golden/batch.py:12 main\n  tests/golden/research.py:9 process",
        "product at tests/golden/research.py:8 process: SELECT product.id",
        "pid 4242 waits for it since 1.50 s",
        "×60  line 15  UPDATE detail SET name = ?",
        "┃    9          text = llm.fetch_specs(product.name)",
    ):
        assert part in out


def test_show_lists_who_held_the_connections(before: Path, capsys: Capture) -> None:
    assert main(["show", fingerprint("pool-timeout"), str(before)]) == 0
    out = capsys.readouterr().out
    assert "thread worker_1 for 4.20 s, taken at tests/golden/research.py:8 process" in out


def test_show_finds_by_file_and_line(before: Path, capsys: Capture) -> None:
    assert main(["show", "research.py:12", str(before)]) == 0
    assert "S3 PutObject product-images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("12", "'12' is no fingerprint"),
        ("xyzt", "'xyzt' is no fingerprint"),
        ("0000", "no finding '0000' in the recording; there are "),
        ("research.py:999", "no finding at 'research.py:999' in the recording; there are "),
    ],
)
def test_show_says_what_there_is_instead(
    name: str, complaint: str, before: Path, capsys: Capture
) -> None:
    assert complaint in failed(capsys, "show", name, before)


# --- progress -------------------------------------------------------------------------------------


def test_no_bar_where_nobody_looks(before: Path, capsys: Capture) -> None:
    assert list(progress.tracked([1, 2], "reading", total=2)) == [1, 2]
    assert main(["report", str(before)]) == 0
    assert capsys.readouterr().err == ""


def test_a_bar_comes_when_it_takes_long_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    assert list(progress.tracked(range(20), "reading", total=20)) == list(range(20))
    assert "reading" in capsys.readouterr().err
