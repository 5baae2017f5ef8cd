"""Recordings: saved profiles. One JSON document, described in docs/recordings.md; or a `.lprof`.

Files below the project's root are named relative to it, so that recordings of several machines
merge. Nothing is half-written: a temporary file beside the target is renamed over it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import msgspec

from txprof import lprof
from txprof.errors import RecordingError
from txprof.exemplars import slowest
from txprof.locked import Lock
from txprof.model import Site
from txprof.recorded import Recorded, added_apart, total
from txprof.settings import project_root

FORMAT: Literal["txprof-recording"] = "txprof-recording"
VERSION = 1

_END_OF_TIME = 253_402_300_800.0
"""Seconds since the epoch at which the year 10000 begins: datetime goes no further."""


class _Document(msgspec.Struct, omit_defaults=True):
    """The file. `txprof` is the version that wrote it; `recording` is a `model.Recorded`."""

    format: Literal["txprof-recording"]
    version: int
    txprof: str
    recording: Recorded


class _Head(msgspec.Struct):
    format: str | None = None
    version: int | None = None
    txprof: str | None = None


def save(recorded: Recorded, path: str | PathLike[str]) -> None:
    """Write a recording; one for line_profiler where the name ends in `.lprof`."""
    from txprof import __version__

    path = Path(path)
    if path.suffix == lprof.SUFFIX:
        write(path, lprof.dumps(recorded))
        return
    document = _Document(FORMAT, VERSION, __version__, _with_files(recorded, _relative))
    write(path, msgspec.json.format(msgspec.json.encode(document), indent=1))


def load(path: str | PathLike[str]) -> Recorded:
    """Read a recording of either kind, or raise `RecordingError` with file, position and cause."""
    name = os.fspath(path)
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise RecordingError(f"{name}: cannot be read: {error.strerror or error}") from error
    if lprof.is_pickle(data):
        return lprof.loads(name, data)
    try:
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # Only now is it worth the time to find out what is wrong with it.
        _check_head(name, data)
        raise RecordingError(f"{name}: damaged recording: {error}") from error
    _check_version(name, document)
    _check_values(name, document.recording)

    def absolute(file: str) -> str:
        if "\0" in file:  # nothing can open it, and on CPython 3.11 linecache trips over it
            raise RecordingError(f"{name}: damaged recording: {file!r} is no name of a file")
        return _absolute(file)

    return _with_files(document.recording, absolute, ours=True)


def merge(recordings: Iterable[Recorded]) -> Recorded:
    """Add recordings up, in any order. They stay as they were; rows may be theirs and the sum's."""
    recordings = list(recordings)
    if not recordings:
        raise ValueError("nothing to merge: give at least one profile")
    kept = min((one.exemplars_kept for one in recordings if one.exemplars_kept), default=None)
    known = [one.started_at for one in recordings if one.started_at is not None]
    return Recorded(
        names=sorted({name for recorded in recordings for name in recorded.names}),
        started_at=min(known, default=None),
        seconds=total(recorded.seconds for recorded in recordings),
        runs=sum(recorded.runs for recorded in recordings),
        calls=total(recorded.calls for recorded in recordings),
        functions=added_apart(row for recorded in recordings for row in recorded.functions),
        statements=added_apart(row for recorded in recordings for row in recorded.statements),
        bursts=added_apart(row for recorded in recordings for row in recorded.bursts),
        idle=added_apart(row for recorded in recordings for row in recorded.idle),
        transactions=added_apart(row for recorded in recordings for row in recorded.transactions),
        external_calls=added_apart(
            row for recorded in recordings for row in recorded.external_calls
        ),
        pools=added_apart(row for recorded in recordings for row in recorded.pools),
        holds=added_apart(row for recorded in recordings for row in recorded.holds),
        checkouts=added_apart(row for recorded in recordings for row in recorded.checkouts),
        exemplars=slowest((row for recorded in recordings for row in recorded.exemplars), kept),
        exemplars_kept=kept,
    )


def _check_head(name: str, data: bytes) -> None:
    if not data.strip():
        raise RecordingError(f"{name}: the file is empty")
    try:
        text = data.decode("utf-8")
        json.loads(text)
        head = msgspec.json.decode(data, type=_Head)
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{name}: not a txprof recording: byte {error.start} is no UTF-8 text"
        ) from error
    except json.JSONDecodeError as error:
        ours = f'"{FORMAT}"'.encode() in data[:200]
        what = "truncated or damaged recording" if ours else "not a txprof recording"
        raise RecordingError(f"{name}:{error.lineno}:{error.colno}: {what}: {error.msg}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordingError(f"{name}: not a txprof recording: {error}") from error
    if head.format != FORMAT:
        raise RecordingError(f'{name}: not a txprof recording: no "format": "{FORMAT}" in it')
    if head.version is None:
        raise RecordingError(f'{name}: damaged recording: no "version" in it')
    _check_version(name, head)


def _check_version(name: str, head: _Head | _Document) -> None:
    if head.version is not None and head.version > VERSION:
        raise RecordingError(
            f"{name}: written by a newer txprof ({head.txprof}): its version is {head.version}, "
            f"this one reads up to {VERSION}; upgrade txprof to read it"
        )


def _check_values(name: str, recorded: Recorded) -> None:
    """What has the right types, and yet would fail when it is read."""
    times = [recorded.started_at, *(row.started_at for row in recorded.exemplars)]
    for started in times:
        if started is not None and not 0 <= started < _END_OF_TIME:
            raise RecordingError(
                f"{name}: damaged recording: it began at {started!r}, which is no time"
            )
    for number, pool in enumerate(recorded.pools):
        if not pool.course.is_sound(_END_OF_TIME):
            raise RecordingError(
                f"{name}: damaged recording: $.recording.pools[{number}] has a course of no time"
            )
    for number, row in enumerate(recorded.exemplars):
        paths = [ran[2] for ran in row.statements] + [call[2] for call in row.external_calls]
        texts = [ran[3] for ran in row.statements] + [call[4] for call in row.external_calls]
        for kind, used, known in (("path", paths, row.paths), ("text", texts, row.texts)):
            if used and (min(used) < 0 or max(used) >= len(known)):
                raise RecordingError(
                    f"{name}: damaged recording: $.recording.exemplars[{number}] names a {kind} "
                    f"that it does not have"
                )


def write(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's 0600 would keep a CI job's reader out
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _relative(file: str) -> str:
    root = str(project_root()) + os.sep
    return file[len(root) :].replace(os.sep, "/") if file.startswith(root) else file


def _absolute(file: str) -> str:
    if file.startswith("<") or os.path.isabs(file):
        return file
    return str(project_root() / file)


def _with_files(
    recorded: Recorded, rename: Callable[[str], str], *, ours: bool = False
) -> Recorded:
    """The same with every file name passed through `rename`; rows that are `ours` are changed."""
    changed = _changed if ours else replace
    known: dict[str, str] = {}

    def renamed(file: str) -> str:
        if file not in known:
            known[file] = rename(file)
        return known[file]

    def site(one: Site | None) -> Site | None:
        return one and one._replace(file=renamed(one.file))

    def path(sites: tuple[Site, ...]) -> tuple[Site, ...]:
        return tuple(Site(renamed(site.file), site.line, site.function) for site in sites)

    def locks(taken: tuple[Lock, ...]) -> tuple[Lock, ...]:
        return tuple(lock._replace(site=site(lock.site)) for lock in taken)

    return replace(
        recorded,
        functions=[changed(row, file=renamed(row.file)) for row in recorded.functions],
        statements=[changed(row, path=path(row.path)) for row in recorded.statements],
        bursts=[changed(row, path=path(row.path)) for row in recorded.bursts],
        idle=[
            changed(
                row,
                path=path(row.path),
                opened=path(row.opened),
                before=site(row.before),
                after=site(row.after),
                call=path(row.call),
                locks=locks(row.locks),
            )
            for row in recorded.idle
        ],
        transactions=[
            changed(row, opened=path(row.opened), locks=locks(row.locks))
            for row in recorded.transactions
        ],
        external_calls=[
            changed(
                row,
                path=path(row.path),
                opened=path(row.opened),
                hold=path(row.hold),
                locks=locks(row.locks),
            )
            for row in recorded.external_calls
        ],
        holds=[changed(row, site=site(row.site)) for row in recorded.holds],
        checkouts=[
            changed(
                row,
                path=path(row.path),
                held=path(row.held),
                holders=tuple(
                    holder._replace(taken=site(holder.taken), now=site(holder.now))
                    for holder in row.holders
                ),
            )
            for row in recorded.checkouts
        ],
        exemplars=[
            changed(
                row,
                opened=path(row.opened),
                hold=path(row.hold),
                paths=[path(each) for each in row.paths],
            )
            for row in recorded.exemplars
        ],
    )


def _changed(row: Any, **values: Any) -> Any:
    for name, value in values.items():
        setattr(row, name, value)
    return row
