"""What the parameters of a statement's executions tell, of one entry into the application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txprof.shapes import Slot

_NONE: Any = frozenset()
"""Stands for a set until something is in it: most statements run once in an entry."""


class Sample:
    """What the parameters of a statement's executions tell: hashes, and no more than needed."""

    __slots__ = ("_first", "_names", "distinct", "many", "varying")

    def __init__(self) -> None:
        self._first: Any = None
        """The first execution's parameters; from the second on, their hashes."""
        self._names: tuple[str, ...] | None = None
        self.many = False
        """Whether an execution was of many sets of parameters."""
        self.distinct: set[int] = _NONE
        self.varying: set[int] = _NONE
        """Parameters that differ between executions, by index."""

    def take(self, parameters: Any) -> None:
        """One more execution. Most statements run once in an entry: then nothing is hashed."""
        first = self._first
        if first is None:
            self._first = parameters if parameters else ()
            return
        if type(first) is not _Hashes:
            first = self.settle()
        hashes = _hashes(parameters)
        self.distinct.add(hash(hashes))
        self.varying |= differing(first, hashes)

    def add(self, other: Sample, *, same_text: bool) -> None:
        """The executions of another, in the same entry."""
        ours, theirs = self.settle(), other.settle()
        if not ours:
            self._first, self._names = other._first, other._names
        elif theirs and same_text:
            self.varying |= differing(ours, theirs)
        self.distinct = {*self.distinct, *other.distinct}
        self.many = self.many or other.many
        if same_text:
            self.varying |= other.varying

    def settle(self) -> _Hashes | None:
        """The hashes of the first execution's parameters, counted."""
        if self._first is not None and type(self._first) is not _Hashes:
            self._names = tuple(self._first) if isinstance(self._first, dict) else None
            self._first = _hashes(self._first)
            self.distinct = {hash(self._first)}
        found: _Hashes | None = self._first
        return found

    def varying_slots(self, found: Sequence[Slot]) -> set[int]:
        """The same by index in the `shapes.slots` of their statement."""
        by_name = {slot.name: index for index, slot in enumerate(found) if slot.name is not None}
        placeholders = [i for i, slot in enumerate(found) if slot.text[:1] in "?:%$@"]
        indexes = set()
        for number in self.varying:
            name = self._names[number] if self._names else str(number + 1)
            if name in by_name:
                indexes.add(by_name[name])
            elif number < len(placeholders):
                indexes.add(placeholders[number])
        return indexes


class _Hashes(tuple[int, ...]):
    """One number for each parameter."""

    __slots__ = ()


def _hashes(parameters: Any) -> _Hashes:
    values = parameters.values() if isinstance(parameters, dict) else parameters
    return _Hashes(map(_hash, values))


def differing(one: Sequence[object], other: Sequence[object]) -> set[int]:
    """At which places; none if they are not of one length."""
    if len(one) != len(other):
        return set()
    return {index for index, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]}


def _hash(value: Any) -> int:
    try:
        return hash(value)
    except TypeError:  # a list, for PostgreSQL's ANY
        return hash(tuple(map(_hash, value))) if isinstance(value, list | tuple) else 0
    except Exception:  # a type of the program's own that cannot be hashed: all of them are one
        return 0
