"""Recordings: what is saved comes back, merges in any order, and bad files say what is wrong."""

from __future__ import annotations

import itertools
import json
import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

import txprof
from txprof import recording
from txprof.exemplars import ExemplarRow, slowest
from txprof.model import Site
from txprof.recorded import CallRow, FunctionRow, LineRow, PoolRow, Recorded, StatementRow


def work(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", "billing"):
            pass


@pytest.fixture
def profile(engine: Engine) -> txprof.Profile:
    with txprof.profile(work, on_finding="ignore") as profile:
        work(engine)
    return profile


@pytest.fixture
def saved(profile: txprof.Profile, tmp_path: Path) -> Path:
    path = tmp_path / "run.txprof"
    profile.save(path)
    return path


def test_a_recording_comes_back_as_it_was(profile: txprof.Profile, saved: Path) -> None:
    loaded = txprof.load(saved)
    assert loaded.to_dict() == profile.to_dict()
    assert loaded.render() == profile.render()
    assert (loaded.name, loaded.started_at, loaded.seconds) == (
        profile.name,
        profile.started_at,
        profile.seconds,
    )


def test_to_dict_is_json(profile: txprof.Profile) -> None:
    data = json.loads(json.dumps(profile.to_dict()))
    assert data["findings"][0]["rule"] == "io-in-transaction"
    assert data["functions"][0]["lines"][0]["hits"] == 2


def test_files_below_the_project_are_saved_relative_to_it(saved: Path) -> None:
    document = json.loads(saved.read_text())
    assert document["recording"]["functions"][0]["file"] == "tests/test_recording.py"
    assert txprof.load(saved).functions[0].site.file == __file__


def test_saving_replaces_and_leaves_no_other_file(profile: txprof.Profile, tmp_path: Path) -> None:
    path = tmp_path / "run.txprof"
    path.write_text("old")
    profile.save(path)
    assert [entry.name for entry in tmp_path.glob("*.tx*")] == ["run.txprof"]
    assert [entry.name for entry in tmp_path.glob(".*")] == []
    assert txprof.load(path).name == "work"


def test_others_may_read_it_as_they_may_any_new_file(
    profile: txprof.Profile, tmp_path: Path
) -> None:
    umask = os.umask(0o027)
    try:
        profile.save(tmp_path / "run.txprof")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "run.txprof").stat().st_mode) == 0o640


def test_a_failed_save_keeps_the_old_file(
    profile: txprof.Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.txprof"
    path.write_text("old")

    def fail(*_args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        profile.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_merging_adds_up(profile: txprof.Profile, saved: Path) -> None:
    merged = txprof.merge(profile, txprof.load(saved), profile)
    assert merged.recorded.runs == 3
    assert merged.functions[0].calls == 3
    assert merged.findings[0].count == 3
    assert merged.findings[0].fingerprint == profile.findings[0].fingerprint
    assert profile.functions[0].calls == 1


# Bad files


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe\x00", "byte 0 is no UTF-8 text"),
        (b"Timer unit: 1e-09 s", ":1:1: not a txprof recording"),
        (b"[1, 2]", "not a txprof recording"),
        (b'{"a": 1}', 'no "format": "txprof-recording" in it'),
        (b'{"format": "txprof-recording"}', 'no "version" in it'),
        (
            b'{"format": "txprof-recording", "version": 99, "txprof": "9.0"}',
            "written by a newer txprof (9.0): its version is 99, this one reads up to 1",
        ),
        (
            b'{"format": "txprof-recording", "version": 1, "txprof": "0.1.0"}',
            "damaged recording: Object missing required field `recording`",
        ),
        (b"[" * 100_000, "not a txprof recording"),
    ],
)
def test_a_file_that_is_no_recording_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.txprof"
    path.write_bytes(content)
    with pytest.raises(txprof.RecordingError) as caught:
        txprof.load(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_recording_names_line_and_column(saved: Path) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) // 2])
    with pytest.raises(txprof.RecordingError, match=r"run\.txprof:\d+:\d+: truncated or damaged"):
        txprof.load(saved)


def test_a_wrong_type_names_its_place(saved: Path) -> None:
    document = json.loads(saved.read_text())
    document["recording"]["statements"][0]["count"] = "many"
    saved.write_text(json.dumps(document))
    with pytest.raises(txprof.RecordingError, match=r"\$\.recording\.statements\[0\]\.count"):
        txprof.load(saved)


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(txprof.RecordingError, match=r"none\.txprof: cannot be read: No such file"):
        txprof.load(tmp_path / "none.txprof")
    with pytest.raises(txprof.RecordingError, match="cannot be read: Is a directory"):
        txprof.load(tmp_path)


# Merging is a commutative monoid

sites = st.builds(
    Site, st.sampled_from(["a.py", "b.py"]), st.integers(1, 3), st.sampled_from(["f", "g"])
)
paths = st.lists(sites, max_size=2).map(tuple)
counts = st.integers(1, 5)
seconds = st.integers(0, 8).map(float)  # whole numbers, so that sums are exact
states = st.sampled_from(["transaction", "held", "free"])
exemplars = st.builds(
    ExemplarRow,
    engine=st.just("e"),
    process=st.sampled_from(["a:1", "b:1"]),
    connection=st.integers(1, 2),
    owner=st.sampled_from(["thread one", "thread two"]),
    started_at=seconds,
    seconds=seconds,
    outcome=st.just("commit"),
    opened=paths,
    paths=st.lists(paths, min_size=1, max_size=1),
    texts=st.just(["SELECT 1"]),
    statements=st.lists(st.just((0.0, 1.0, 0, 0, False)), max_size=2),
)
kept = st.none() | counts.flatmap(
    lambda limit: st.tuples(
        st.just(limit), st.lists(exemplars, max_size=5).map(lambda rows: slowest(rows, limit))
    )
)


def with_exemplars(recorded: Recorded, kept: tuple[int, list[ExemplarRow]] | None) -> Recorded:
    limit, rows = kept or (None, [])
    return replace(recorded, exemplars=rows, exemplars_kept=limit)


runs = st.builds(
    Recorded,
    names=st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2, unique=True).map(sorted),
    started_at=st.none() | seconds,
    seconds=st.none() | seconds,
    calls=st.none() | counts,
    functions=st.lists(
        st.builds(
            FunctionRow,
            st.sampled_from(["a.py", "b.py"]),
            st.sampled_from(["f", "g"]),
            st.integers(1, 2),
            source=st.sampled_from([None, ["def f():", "    pass"]]),
            calls=st.none() | counts,
            held_seconds=st.none() | seconds,
            lines=st.lists(
                st.builds(LineRow, st.integers(1, 3), hits=counts, seconds=seconds),
                max_size=2,
                unique_by=lambda row: row.line,
            ),
        ),
        max_size=2,
        unique_by=lambda row: str(row.key()),
    ),
    statements=st.lists(
        st.builds(
            StatementRow,
            paths,
            st.sampled_from(["SELECT 1", "SELECT 2"]),
            states,
            counts,
            seconds,
            seconds,
        ),
        max_size=2,
        unique_by=lambda row: str(row.key()),
    ),
    external_calls=st.lists(
        st.builds(
            CallRow,
            paths,
            st.just("http"),
            st.sampled_from(["GET x", "GET y"]),
            states,
            opened=paths,
            block=st.sampled_from([None, "with a", "with b"]),
            count=counts,
            seconds=seconds,
        ),
        max_size=2,
        unique_by=lambda row: str(row.key()),
    ),
    pools=st.lists(
        st.builds(
            PoolRow,
            st.sampled_from(["e", "f"]),
            size=st.none() | st.integers(1, 9),
            checkouts=counts,
            peak_busy=counts,
        ),
        max_size=2,
        unique_by=lambda row: row.engine,
    ),
)


recordings = st.builds(with_exemplars, runs, kept)


def canonical(recorded: Recorded) -> object:
    """The same whatever the order of rows."""
    rows = (
        sorted(map(repr, part))
        for part in (
            recorded.functions,
            recorded.statements,
            recorded.external_calls,
            recorded.pools,
            recorded.exemplars,
        )
    )
    head = (recorded.names, recorded.started_at, recorded.seconds, recorded.runs, recorded.calls)
    return (*head, recorded.exemplars_kept, *rows)


@given(st.lists(recordings, min_size=1, max_size=3))
def test_the_order_of_merging_does_not_matter(parts: list[Recorded]) -> None:
    expected = canonical(recording.merge(parts))
    for order in itertools.permutations(parts):
        assert canonical(recording.merge(order)) == expected
    if parts[1:]:
        nested = recording.merge([parts[0], recording.merge(parts[1:])])
        assert canonical(nested) == expected


@given(recordings)
def test_any_recording_survives_the_file(recorded: Recorded) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.txprof"
        recording.save(recorded, path)
        again = recording.load(path)
    saved = recording._with_files(recorded, recording._absolute)
    assert canonical(again) == canonical(saved)
