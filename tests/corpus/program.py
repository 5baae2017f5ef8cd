"""How a program is registered with its verdict: `@clean`, `@burst("touch")`, `@write_loop("row")`.

The words are markers: a comment `# touch` ends the line where the finding belongs. It is looked for
in the program, then in its topic file, then in models.py, and must be there exactly once. The line
is the one that touches the relationship or attribute; for a repeated SELECT or write it is, in the
innermost function that stays while they repeat, the line that asks for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

RULES = ("n-plus-one", "write-loop")

MODELS = Path(__file__).with_name("models.py")


class Place(NamedTuple):
    """A rule at a line."""

    rule: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.rule} at {Path(self.file).name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Program:
    """A function that takes a Session, Engine, AsyncSession or AsyncEngine, and its verdict."""

    function: Callable[..., Any]
    marks: tuple[tuple[str, str], ...]
    """(rule, marker)"""

    @property
    def topic(self) -> str:
        return self.function.__module__.rpartition(".")[2]

    @property
    def name(self) -> str:
        return f"{self.topic}.{self.function.__name__}"

    @property
    def takes(self) -> type:
        """What it wants: the annotation of its first parameter."""
        signature = inspect.signature(self.function, eval_str=True)
        annotation: type = next(iter(signature.parameters.values())).annotation
        return annotation

    @property
    def expected(self) -> frozenset[Place]:
        return frozenset(Place(rule, *_marked(self.function, mark)) for rule, mark in self.marks)


PROGRAMS: dict[str, Program] = {}


def clean(function: Callable[..., Any]) -> Callable[..., Any]:
    """Nothing in it is a burst."""
    return _register(function, ())


def burst(*marks: str, writes: Iterable[str] = ()) -> Callable[..., Any]:
    """n-plus-one fires at the lines with these markers, write-loop at those of `writes`."""
    verdict = [("n-plus-one", mark) for mark in marks] + [("write-loop", mark) for mark in writes]
    return lambda function: _register(function, tuple(verdict))


def write_loop(*marks: str) -> Callable[..., Any]:
    """write-loop fires at the lines with these markers."""
    return burst(writes=marks)


def _register(
    function: Callable[..., Any], marks: tuple[tuple[str, str], ...]
) -> Callable[..., Any]:
    program = Program(function, marks)
    assert program.name not in PROGRAMS, program.name
    PROGRAMS[program.name] = program
    return function


def _marked(function: Callable[..., Any], mark: str) -> tuple[str, int]:
    lines, first = inspect.getsourcelines(function)
    places = [(function.__code__.co_filename, lines, first)]
    for file in (function.__code__.co_filename, str(MODELS)):
        places.append((file, Path(file).read_text(encoding="utf-8").splitlines(), 1))
    for file, lines, first in places:
        found = [
            number
            for number, line in enumerate(lines, first)
            if line.rstrip().endswith(f"# {mark}")
        ]
        assert len(found) < 2, f"{function.__qualname__}: {mark!r} marks lines {found} of {file}"
        if found:
            return file, found[0]
    raise AssertionError(f"{function.__qualname__}: no line is marked {mark!r}")
