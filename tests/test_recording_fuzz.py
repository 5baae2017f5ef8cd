"""Whatever is in a file: it is read, or a RecordingError says in one line why not."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rich_recording
from hypothesis import given, settings
from hypothesis import strategies as st

import txprof
from txprof import recording
from txprof.report import FORMATS


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    """A file to write to."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "fuzzed.txprof"


def rich_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rich.txprof"
        recording.save(rich_recording.recorded(), path)
        return path.read_bytes()


RICH = rich_bytes()
COMPACT = msgspec.json.encode(msgspec.json.decode(RICH))
LINE_PROFILER = b"\x80\x04\x95" + bytes(range(60))


def read(file: Path, data: bytes) -> txprof.Profile | None:
    """The profile of a file with these bytes, or None if it is refused, as it should be."""
    file.write_bytes(data)
    try:
        return txprof.load(file)
    except txprof.RecordingError as error:
        message = str(error)
        assert message.startswith(str(file))
        assert "\n" not in message
        assert len(message) < 1_000
        return None


def assert_harmless(file: Path, data: bytes) -> None:
    """It is refused, or everything that reports ask of it works."""
    profile = read(file, data)
    if profile is not None:
        profile.findings
        txprof.merge(profile, profile).to_dict()
        for format in FORMATS:
            profile.render(format).encode("utf-8", "backslashreplace")


@given(data=st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_refused(file: Path, data: bytes) -> None:
    assert read(file, data) is None


@given(length=st.integers(0, len(RICH) - 2))
@settings(max_examples=100)
def test_a_truncated_recording_is_refused(file: Path, length: int) -> None:
    assert read(file, RICH[:length]) is None


@given(flips=st.lists(st.integers(0, len(COMPACT) * 8 - 1), min_size=1, max_size=4, unique=True))
@settings(max_examples=60)
def test_flipped_bits_are_refused_or_harmless(file: Path, flips: list[int]) -> None:
    data = bytearray(COMPACT)
    for bit in flips:
        data[bit // 8] ^= 1 << bit % 8
    assert_harmless(file, bytes(data))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["\x00", "\ud800", "transaction", "", "../../etc/passwd", "<x>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document."""
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from places(value[key], (*path, key))


DOCUMENT = json.loads(RICH)
PLACES = [place for place in places(DOCUMENT) if place]


@given(place=st.sampled_from(PLACES), value=anything)
@settings(max_examples=150)
def test_any_value_in_any_place_is_refused_or_harmless(
    file: Path, place: tuple[Any, ...], value: Any
) -> None:
    document = json.loads(RICH)
    within = document
    for key in place[:-1]:
        within = within[key]
    within[place[-1]] = value
    assert_harmless(file, json.dumps(document).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("started_at",), 1e300),
        (("started_at",), -1e9),
        (("exemplars", 0, "started_at"), 1e18),
        (("exemplars", 0, "statements", 0, 2), 99),
        (("exemplars", 0, "external_calls", 0, 4), -1),
        (("functions", 0, "file"), "a\x00b.py"),
        (("external_calls", 0, "path", 0, 0), "a\x00b.py"),
        (("functions", 0, "first_line"), 2**70),
        (("functions", 0, "lines", 0, "hits"), -(2**62)),
        (("calls",), -3),
        (("exemplars", 0, "seconds"), -1e308),
        (("exemplars", 0, "wait_seconds"), 1e308),
        (("pools", 0, "size"), 0),
        (("external_calls", 0, "longest"), 1e308),
    ],
)
def test_values_that_are_no_good_are_refused_or_harmless(
    file: Path, place: tuple[Any, ...], value: Any
) -> None:
    document = json.loads(RICH)
    within = document["recording"]
    for key in place[:-1]:
        within = within[key]
    within[place[-1]] = value
    assert_harmless(file, json.dumps(document).encode())


@given(
    flips=st.lists(st.integers(0, len(LINE_PROFILER) * 8 - 1), min_size=1, max_size=8),
    tail=st.binary(max_size=100),
)
@settings(max_examples=100)
def test_damaged_files_of_line_profiler_are_refused(
    file: Path, flips: list[int], tail: bytes
) -> None:
    data = bytearray(LINE_PROFILER)
    for bit in flips:
        data[bit // 8] ^= 1 << bit % 8
    assert read(file, bytes(data) + tail) is None


@pytest.mark.parametrize(
    "course",
    [
        {"exponent": 10**9},
        {"exponent": -11},
        {"cells": {"-1": [1.0, 1.0, 1, 0.0]}},
        {"cells": {str(10**30): [1.0, 1.0, 1, 0.0]}},
        {"cells": {"1": [-1.0, 1.0, 1, 0.0]}},
        {"cells": {"1": [1.0, 1e308, 1, 0.0]}},
    ],
)
def test_a_course_that_cannot_be_is_refused(file: Path, course: dict[str, Any]) -> None:
    document = json.loads(RICH)
    (pool,) = document["recording"]["pools"]
    pool["course"] = {"exponent": -1, "cells": {}} | course
    file.write_text(json.dumps(document))
    with pytest.raises(txprof.RecordingError, match="a course of no time"):
        txprof.load(file)
