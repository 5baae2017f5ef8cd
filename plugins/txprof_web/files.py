"""From what a request asks for to files of the application.

A pattern is a glob of paths below the application's root: `*` and `?` within a name, `**` for any
folders. It is matched against the files of imported modules, resolved, so that it leads nowhere
else; never turned into a regular expression, and in time that grows with its length alone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType

_LONGEST = 200
_MOST_PATTERNS = 10
_MOST_FILES = 200

_INSTALLED = frozenset({"site-packages", "dist-packages"})


class Root:
    """The folder of the application."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = os.path.realpath(os.getcwd() if folder is None else folder)
        if not os.path.isdir(self._folder):
            raise ValueError(f"root must be a folder, not {folder!r}")
        self._below = lru_cache(maxsize=10_000)(self._look)

    def files(self, patterns: Sequence[str]) -> list[str]:
        """The files of imported modules that match, as their code names them.

        ValueError for a pattern that is none.
        """
        if len(patterns) > _MOST_PATTERNS:
            raise ValueError(f"{len(patterns)} patterns; {_MOST_PATTERNS} are allowed")
        split = [_segments(pattern) for pattern in patterns]
        found = set()
        for file in _module_files():
            below = self._below(file)
            if below is not None and any(_matches(below, segments) for segments in split):
                found.add(file)
        return sorted(found)[:_MOST_FILES]

    def _look(self, file: str) -> tuple[str, ...] | None:
        """The parts of its path below the root, links followed; None if it is not there."""
        try:
            parts = Path(os.path.realpath(file)).relative_to(self._folder).parts
        except ValueError:
            return None
        # A `*` in the path itself would be taken for a pattern by `txprof.profile`.
        if _INSTALLED.intersection(parts) or "*" in file or "?" in file:
            return None
        return parts


def _module_files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        # Of what stands there some are no modules, and answer any question with an import.
        file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        if isinstance(file, str) and file.endswith(".py"):
            yield file if os.path.isabs(file) else os.path.abspath(file)


def _segments(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern; ValueError for one that is none, or that leads out."""
    if len(pattern) > _LONGEST:
        raise ValueError(f"the pattern is longer than {_LONGEST} characters")
    segments = tuple(pattern.split("/"))
    if not pattern.isprintable() or "\\" in pattern or "" in segments:
        raise ValueError(f"{pattern!r} is not a pattern of paths below the application's root")
    if ".." in segments or "." in segments or ":" in pattern:
        raise ValueError(f"{pattern!r} leads out of the application's root")
    return segments


def _matches(parts: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether a path matches, part by part; `**` stands for any number of them."""
    reached = {0}
    for segment in segments:
        if segment == "**":
            reached = set(range(min(reached, default=len(parts) + 1), len(parts) + 1))
        else:
            reached = {
                at + 1 for at in reached if at < len(parts) and _matches_name(parts[at], segment)
            }
    return len(parts) in reached


def _matches_name(name: str, pattern: str) -> bool:
    """Whether a name matches `*` and `?`, by stepping back to the last `*` only."""
    at = position = 0
    star, resume = -1, 0
    while at < len(name):
        if position < len(pattern) and pattern[position] == "*":
            star, resume = position, at
            position += 1
        elif position < len(pattern) and pattern[position] in ("?", name[at]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = resume, star + 1
        else:
            return False
    return all(each == "*" for each in pattern[position:])
