"""`.lprof`: the files of line_profiler and its kernprof, read and written.

Such a file is a pickle of line_profiler's `LineStats`: hits and ticks per line, keyed by (file,
first line, function). A pickle may call whatever it names, and a recording from somebody else must
not run code: the one name that is looked up here gives an empty class.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import PurePath
from typing import Annotated, Any

import msgspec

from txprof.errors import RecordingError
from txprof.recorded import FunctionRow, LineRow, Recorded, added
from txprof.source import source_at

SUFFIX = ".lprof"

_UNIT = 1e-9
"""Seconds per tick of what we write: line_profiler's own on POSIX systems."""

_CLASSES = {
    ("line_profiler.line_profiler", "LineStats"),  # 5.1 and newer
    ("line_profiler._line_profiler", "LineStats"),  # 4.0 to 5.0
    ("_line_profiler", "LineStats"),  # older ones, before it was a package
}

_Number = Annotated[int, msgspec.Meta(ge=0)]
_Ticks = Annotated[float, msgspec.Meta(ge=0)]


class _Stats(msgspec.Struct):
    """What `LineStats` holds: (line, hits, ticks) of each function's lines, seconds per tick."""

    timings: dict[tuple[str, _Number, str], list[tuple[_Number, _Number, _Ticks]]]
    unit: Annotated[float, msgspec.Meta(gt=0)]


class _Unpickler(pickle._Unpickler):
    """Knows one class, of its own making: a pickle can set attributes even on a class.

    Written in Python: its twin in C takes gigabytes of memory if a damaged file tells it to.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.stats = type("LineStats", (), {})

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CLASSES:
            raise _ForeignError(repr(f"{module}.{name}"))
        return self.stats


class _ForeignError(Exception):
    """A pickle names something that no `.lprof` has."""


def is_pickle(data: bytes) -> bool:
    """Whether these bytes begin a pickle of protocol 2 or newer, which no UTF-8 text does."""
    return data.startswith(b"\x80")


def loads(name: str, data: bytes) -> Recorded:
    """The profile in the bytes of the file `name`, or `RecordingError`."""
    stats = _stats(name, data)
    rows = [
        _row(_absolute(file), first, function, lines, stats.unit)
        for (file, first, function), lines in stats.timings.items()
    ]
    return Recorded([PurePath(name).stem], None, None, calls=None, functions=added(rows))


def dumps(recorded: Recorded) -> bytes:
    """The bytes of a file with the hits and seconds of each line: all that such a file can hold."""
    # By the name that every line_profiler since 4.0 can read.
    from line_profiler._line_profiler import LineStats

    functions: dict[tuple[str, int, str], dict[int, list[int]]] = {}
    for row in recorded.functions:
        lines = functions.setdefault((row.file, row.first_line, row.function), {})
        for line in row.lines:
            totals = lines.setdefault(line.line, [0, 0])
            totals[0] += line.hits
            totals[1] += round(line.seconds / _UNIT)
    timings = {
        key: [(number, hits, ticks) for number, (hits, ticks) in sorted(lines.items())]
        for key, lines in functions.items()
    }
    return pickle.dumps(LineStats(timings, _UNIT), pickle.HIGHEST_PROTOCOL)


def _stats(name: str, data: bytes) -> _Stats:
    unpickler = _Unpickler(data)
    try:
        loaded = unpickler.load()
    except _ForeignError as error:
        raise RecordingError(
            f"{name}: not a line_profiler recording: a pickle that names {error}, not loaded"
        ) from None
    except Exception as error:  # damaged pickles raise errors of every kind
        ours = b"LineStats" in data[:200]
        what = (
            "truncated or damaged line_profiler recording"
            if ours
            else "not a txprof recording, nor one of line_profiler"
        )
        raise RecordingError(f"{name}: {what}: {_said(error)}") from error
    if type(loaded) is not unpickler.stats:
        raise RecordingError(
            f"{name}: not a line_profiler recording: a pickle of {type(loaded).__name__}"
        )
    try:
        return msgspec.convert(vars(loaded), _Stats)
    except (msgspec.ValidationError, RecursionError) as error:
        raise RecordingError(f"{name}: damaged line_profiler recording: {_said(error)}") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _row(
    file: str, first: int, function: str, lines: list[tuple[int, int, float]], unit: float
) -> FunctionRow:
    last = max((line for line, _, _ in lines), default=first)
    source = source_at(file, first, last, function.rpartition(".")[2])
    return FunctionRow(
        file,
        function,
        first,
        source,
        calls=None,
        lines=[LineRow(line, hits, ticks * unit) for line, hits, ticks in lines if hits],
        note=None if source else _no_source(file),
    )


def _absolute(file: str) -> str:
    # kernprof names a script as its command line did; line_profiler, too, looks for it from here.
    return file if file.startswith("<") else os.path.abspath(file)


def _no_source(file: str) -> str:
    if os.path.exists(file):
        return "source not shown: the file changed since the run"
    return "source not shown: the file is not here; was kernprof run in another folder?"
