"""`.lprof`: what kernprof writes is read, safely; what txprof writes, line_profiler shows."""

from __future__ import annotations

import contextlib
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_profiler._line_profiler import LineStats
from sqlalchemy import Engine, text

import txprof
from txprof import lprof
from txprof.settings import project_root

SCRIPT = """\
import time

from line_profiler import profile


@profile
def total(number):
    found = 0
    for i in range(number):
        found += i
    return found


class Batch:
    @profile
    def run(self):
        time.sleep(0.02)
        return total(3) + total(10)

    @profile
    def never(self):
        return None


Batch().run()
"""


def run(folder: Path, *arguments: object) -> str:
    """What `python -m ...` prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def kernprof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What kernprof wrote about the script, in this folder."""
    (tmp_path / "batch.py").write_text(SCRIPT)
    project_root()  # is where the process began
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "kernprof", "-l", "-o", "batch.lprof", "batch.py")
    return tmp_path / "batch.lprof"


def work(engine: Engine) -> int:
    found = 0
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    for i in range(3):
        found += i
    return found


@pytest.fixture
def profile(engine: Engine) -> txprof.Profile:
    with txprof.profile(work) as profile:
        work(engine)
        work(engine)
    return profile


def shown(output: str, function: str) -> dict[int, tuple[int, str]]:
    """Hits and source by line of a function, as `python -m line_profiler` prints them."""
    (part,) = [
        part for part in output.split("Total time: ") if f"Function: {function} at line" in part
    ]
    rows = re.findall(r"^ +(\d+) +(\d+) +[\d.]+ +[\d.]+ +[\d.]+  (.*)$", part, re.MULTILINE)
    return {int(line): (int(hits), source) for line, hits, source in rows}


def hits(profile: txprof.Profile, name: str) -> dict[int, int]:
    (function,) = [f for f in profile.functions if f.site.function == name]
    return {number: line.hits for number, line in function.lines.items()}


# Reading


def test_what_kernprof_wrote_is_read(kernprof: Path) -> None:
    prof = txprof.load(kernprof)
    assert prof.name == "batch"
    assert [function.site.function for function in prof.functions] == [
        "Batch.run",
        "total",
        "Batch.never",
    ]
    run, total, never = prof.functions
    assert total.site == txprof.Site(str(kernprof.with_name("batch.py")), 6, "total")
    assert hits(prof, "total") == {8: 2, 9: 15, 10: 13, 11: 2}
    assert total.lines[9].source == "    for i in range(number):"
    assert 0.02 <= run.lines[17].seconds < 2
    assert run.seconds == pytest.approx(sum(line.seconds for line in run.lines.values()))
    assert never.lines == {}


def test_what_line_profiler_does_not_measure_is_none(kernprof: Path) -> None:
    prof = txprof.load(kernprof)
    assert (prof.started_at, prof.seconds, prof.recorded.calls) == (None, None, None)
    (total,) = [f for f in prof.functions if f.site.function == "total"]
    assert (total.calls, total.held_seconds, total.transaction_seconds) == (None, None, None)
    line = total.lines[8]
    assert (line.await_seconds, line.held_seconds, line.transaction_seconds) == (None, None, None)
    assert (line.queries, line.query_seconds) == (None, None)
    assert (line.external_calls, line.external_seconds) == (None, None)
    assert prof.to_dict()["seconds"] is None
    assert repr(prof) == "<txprof.Profile 'batch'>"


def test_its_report_claims_nothing_that_was_not_measured(kernprof: Path) -> None:
    output = run(kernprof.parent, "txprof", "report", kernprof)
    first, *_, last = output.splitlines()
    assert first == "txprof ── batch ── line times only"
    assert last == "not judged: line_profiler records line times, no connections and calls"
    for absent in ("quer", "call", "held", "no findings", "never"):
        assert absent not in output.replace(last, "")
    assert re.search(r"ms +15 +9      for i in range\(number\):", output)


def test_a_function_whose_file_is_not_here_or_changed_says_so(
    kernprof: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = kernprof.with_name("batch.py")
    script.write_text("import time\n" * 30)
    assert "(source not shown: the file changed since the run)" in txprof.load(kernprof).render()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "the file is not here; was kernprof run in another folder?" in (
        txprof.load(kernprof).render()
    )


@pytest.mark.parametrize(
    "module", ["_line_profiler", "line_profiler._line_profiler", "line_profiler.line_profiler"]
)
def test_files_of_every_line_profiler_are_read(tmp_path: Path, module: str) -> None:
    path = tmp_path / "old.lprof"
    path.write_bytes(pickled({("a.py", 1, "f"): [(2, 3, 4000)]}, 1e-6, module))
    (function,) = txprof.load(path).functions
    assert (function.lines[2].hits, function.lines[2].seconds) == (3, pytest.approx(0.004))


def test_the_content_decides_and_not_the_name(kernprof: Path, profile: txprof.Profile) -> None:
    renamed = kernprof.rename(kernprof.with_name("run.txprof"))
    assert hits(txprof.load(renamed), "total")
    ours = kernprof.with_name("ours.txprof")
    profile.save(ours)
    assert txprof.load(ours.rename(kernprof)).name == "work"


# Merging


def test_recordings_of_line_profiler_merge(kernprof: Path) -> None:
    prof = txprof.load(kernprof)
    merged = txprof.merge(prof, txprof.load(kernprof))
    assert hits(merged, "total") == {8: 4, 9: 30, 10: 26, 11: 4}
    assert (merged.name, merged.seconds, merged.recorded.runs) == ("batch", None, 2)
    assert hits(prof, "total")[8] == 2


def test_recordings_of_both_kinds_merge(
    kernprof: Path, profile: txprof.Profile, tmp_path: Path
) -> None:
    profile.save(tmp_path / "ours.txprof")
    profile.save(tmp_path / "theirs.lprof")
    output = run(
        tmp_path, "txprof", "report", "ours.txprof", "theirs.lprof", "batch.lprof", "--width", 100
    )
    assert "batch, theirs, work" in output
    merged = txprof.merge(
        txprof.load(tmp_path / "theirs.lprof"),
        txprof.load(tmp_path / "ours.txprof"),
        txprof.load(kernprof),
    )
    both = {number: 2 * count for number, count in hits(profile, "work").items()}
    assert hits(merged, "work") == both
    assert merged.seconds == profile.seconds
    assert merged.started_at == profile.started_at
    (function,) = [f for f in merged.functions if f.site.function == "work"]
    assert function.held_seconds == profile.functions[0].held_seconds
    assert function.calls == 2
    assert sum(line.queries or 0 for line in function.lines.values()) == 2


# Writing


def test_line_profiler_shows_what_was_saved(profile: txprof.Profile, tmp_path: Path) -> None:
    profile.save(tmp_path / "x.lprof")
    output = run(tmp_path, "line_profiler", "x.lprof")
    assert output.startswith("Timer unit: 1e-06 s")
    assert f"File: {__file__}" in output
    expected = {
        number: (line.hits, line.source) for number, line in profile.functions[0].lines.items()
    }
    assert shown(output, "work") == expected


def test_hits_and_seconds_come_back(profile: txprof.Profile, tmp_path: Path) -> None:
    profile.save(tmp_path / "x.lprof")
    loaded = txprof.load(tmp_path / "x.lprof")
    assert hits(loaded, "work") == hits(profile, "work")
    (before,), (after,) = profile.functions, loaded.functions
    assert after.site == before.site
    assert after.seconds == pytest.approx(before.seconds, abs=1e-7)


def test_what_kernprof_wrote_can_be_written_again(kernprof: Path) -> None:
    again = kernprof.with_name("again.lprof")
    txprof.load(kernprof).save(again)
    assert shown(run(kernprof.parent, "line_profiler", again), "total") == shown(
        run(kernprof.parent, "line_profiler", kernprof), "total"
    )


def test_a_recording_of_line_profilers_can_become_one_of_ours(kernprof: Path) -> None:
    ours = kernprof.with_name("ours.txprof")
    prof = txprof.load(kernprof)
    prof.save(ours)
    assert txprof.load(ours).to_dict() == prof.to_dict()


def test_saving_leaves_no_other_file(profile: txprof.Profile, tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.lprof"
    path.parent.mkdir()
    path.write_text("old")
    profile.save(path)
    assert list(path.parent.iterdir()) == [path]
    assert len(txprof.load(path).functions) == 1


# Files that are none, or worse


def pickled(timings: object, unit: object, module: str = "line_profiler.line_profiler") -> bytes:
    """A file as line_profiler writes it, with these values in it."""
    data = pickle.dumps(LineStats(timings, unit), 2)  # type: ignore[arg-type]
    return data.replace(b"line_profiler._line_profiler", module.encode())


class Runs:
    """Pickled, a call of `function` with `arguments`."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def assert_refused(path: Path, *says: str) -> None:
    with pytest.raises(txprof.RecordingError) as caught:
        txprof.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    for part in says:
        assert part in message


@pytest.mark.parametrize("where", ["instead", "inside", "beside"])
def test_a_file_that_would_run_code_is_refused_unread(tmp_path: Path, where: str) -> None:
    sentinel = tmp_path / "ran"
    runs = Runs(Path.touch, sentinel)
    content = {
        "instead": pickle.dumps(runs),
        "inside": pickle.dumps(LineStats({("a.py", 1, "f"): [(1, 1, runs)]}, 1e-9)),  # type: ignore[list-item]
        "beside": pickle.dumps([LineStats({}, 1e-9), runs]),
    }[where]
    path = tmp_path / "evil.lprof"
    path.write_bytes(content)
    assert_refused(path, "not a line_profiler recording", "Path", "not loaded")
    assert not sentinel.exists()
    pickle.loads(content)
    assert sentinel.exists()


def test_a_file_in_pickles_oldest_form_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "evil.lprof"
    path.write_bytes(pickle.dumps(Runs(Path.touch, tmp_path / "ran"), 0))
    assert_refused(path, "not a txprof recording")
    assert not (tmp_path / "ran").exists()


def test_a_file_cannot_change_what_the_next_one_is_read_with(tmp_path: Path) -> None:
    good = tmp_path / "good.lprof"
    good.write_bytes(pickled({}, 1e-9))
    evil = tmp_path / "evil.lprof"
    # BUILD on the class itself, with attributes to set.
    evil.write_bytes(
        b"\x80\x02cline_profiler.line_profiler\nLineStats\n"
        b"N}X\x0c\x00\x00\x00__setstate__cline_profiler.line_profiler\nLineStats\ns\x86b."
    )
    assert_refused(evil, "a pickle of type")
    assert txprof.load(good).functions == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"\x80\x05", "not a txprof recording, nor one of line_profiler", id="binary"),
        pytest.param(b"\x80\xff.", "nor one of line_profiler: unsupported pickle", id="protocol"),
        pytest.param(
            pickled({}, 1e-9)[:-4],
            "truncated or damaged line_profiler recording",
            id="truncated",
        ),
        pytest.param(pickle.dumps({"timings": {}}), "a pickle of dict", id="a dict"),
        pytest.param(
            pickle.dumps(txprof.RecordingError("x")),
            "a pickle that names 'txprof.errors.RecordingError', not loaded",
            id="another class",
        ),
        pytest.param(pickled({}, "1 s"), "Expected `float`, got `str` - at `$.unit`", id="unit"),
        pytest.param(pickled({}, 0.0), "at `$.unit`", id="no unit"),
        pytest.param(pickled([], 1e-9), "Expected `object`, got `array`", id="timings"),
        pytest.param(pickled({"f": []}, 1e-9), "damaged line_profiler recording", id="key"),
        pytest.param(
            pickled({("a.py", 1, "f"): [(1, "many", 2)]}, 1e-9),
            "Expected `int`, got `str` - at `$.timings[...][0][1]`",
            id="hits",
        ),
        pytest.param(
            pickled({("a.py", 1, "f"): [(1, 1, 10**400)]}, 1e-9), "out of range", id="ticks"
        ),
    ],
)
def test_a_file_that_is_no_recording_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.lprof"
    path.write_bytes(content)
    assert_refused(path, says)


@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_never_worse(data: st.DataObject) -> None:
    good = pickled({("a.py", 1, "f"): [(2, 3, 4), (3, 4, 5)]}, 1e-9)
    place = data.draw(st.integers(0, len(good)))
    bad = good[:place] + data.draw(st.binary(max_size=2)) + good[place + 1 :]
    with contextlib.suppress(txprof.RecordingError):
        assert lprof.loads("bad.lprof", bad).names == ["bad"]
