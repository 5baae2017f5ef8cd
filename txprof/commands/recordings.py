"""Recordings named on a command line: files, folders, patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from txprof.commands.progress import tracked
from txprof.commands.values import CommandError

if TYPE_CHECKING:
    from txprof.results import Profile

SUFFIXES = (".txprof", ".lprof")

NAMED = "a recording; a folder of *.txprof and *.lprof; or a pattern such as 'parts/**/*.txprof'"
"""What a command says of its arguments."""

AT_ONCE = 100
"""Recordings in memory before they are merged: the merged one grows with distinct lines only."""


def found(names: Sequence[str]) -> list[Path]:
    """The files behind the names, each once, in order.

    Raises:
        CommandError: for a folder or a pattern with no recording. A file that is not there is
            told when it is read.
    """
    files: dict[str, Path] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            below = sorted(one for one in path.rglob("*") if _is_recording(one))
            if not below:
                raise CommandError(f"{name}: no recordings (*.txprof, *.lprof) in this folder")
        elif glob.has_magic(name) and not path.exists():
            below = sorted(
                one for one in map(Path, glob.glob(name, recursive=True)) if one.is_file()
            )
            if not below:
                raise CommandError(f"{name}: no file matches this pattern")
        else:
            below = [path]
        for one in below:  # one that is named in two ways would count twice
            files.setdefault(os.path.realpath(one), one)
    return list(files.values())


def _is_recording(path: Path) -> bool:
    # A dot: one that is being written.
    return path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file()


def read(files: Sequence[Path]) -> Profile:
    """All of them, merged.

    Raises:
        CommandError: for one that cannot be read.
    """
    import txprof

    profiles = tracked(_each(files), "reading", total=len(files))
    merged: Profile | None = None
    while some := list(islice(profiles, AT_ONCE)):
        some = [merged, *some] if merged is not None else some
        merged = some[0] if len(some) == 1 else txprof.merge(*some)
    assert merged is not None
    return merged


def _each(files: Iterable[Path]) -> Iterator[Profile]:
    import txprof

    for file in files:
        try:
            yield txprof.load(file)
        except txprof.RecordingError as error:
            raise CommandError(str(error)) from error
