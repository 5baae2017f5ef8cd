"""What is kept of the texts that calls and statements are told by: the setting `redact`.

The user's function is asked once for each distinct text, before it gets into a finding, a report or
a recording. What it cannot answer is hidden: nothing is told because of an error.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

from txprof import safety
from txprof.locked import Inspected, Lock
from txprof.model import Holder
from txprof.recorded import Recorded, added

logger = logging.getLogger("txprof")

HIDDEN = "(hidden)"
"""Stands for a text that `redact` returned None for, or could not answer."""

KINDS = ("target", "statement", "engine")
"""What a text is: of an external call, of a statement (or its shape), the URL of an engine."""

Function = Callable[[str, str], str | None]

Row = TypeVar("Row")

_CACHED = 10_000

_asking: ContextVar[bool] = ContextVar("txprof_redacting", default=False)


class Redactor:
    """Texts as the user's function leaves them; as they are, if there is none."""

    def __init__(self, setting: Function | str | None) -> None:
        self._setting = setting
        self._function: Function | None = None if isinstance(setting, str) else setting
        self._known: dict[tuple[str, str], str] = {}
        self._failed = False

    def __call__(self, kind: str, text: str) -> str:
        """A text of one of `KINDS`, as it may be told."""
        if self._setting is None:
            return text
        known = self._known.get((kind, text))
        if known is None:
            if _asking.get():  # the function itself runs a statement
                return HIDDEN
            if len(self._known) >= _CACHED:
                self._known.clear()
            known = self._known[kind, text] = self._asked(kind, text)
        return known

    def _asked(self, kind: str, text: str) -> str:
        token = _asking.set(True)
        try:
            if self._function is None:
                import pkgutil

                self._function = pkgutil.resolve_name(str(self._setting))
            with safety.aside():
                answer = self._function(kind, text)
            if answer is not None and not isinstance(answer, str):
                raise TypeError("neither a string nor None")
        except Exception as error:
            if not self._failed:
                self._failed = True
                logger.warning(
                    "txprof: the setting redact, %r, failed (%s): what it is to redact is hidden",
                    self._setting,
                    safety.where(error),
                )
            return HIDDEN
        finally:
            _asking.reset(token)
        return answer or HIDDEN

    def row(self, row: Row) -> Row:
        """A row of `txprof.recorded`, as it may be told. Its target is, from the start."""
        if self._setting is None:
            return row
        changes = {
            name: change(self, value)
            for name, change in _CHANGES.items()
            if (value := getattr(row, name, None))
        }
        changed: Row = replace(row, **changes)  # type: ignore[type-var]
        return changed

    def recorded(self, recorded: Recorded) -> Recorded:
        """All rows; what has become the same is added up."""
        if self._setting is None:
            return recorded
        rows: dict[str, Any] = {
            name: added(map(self.row, getattr(recorded, name))) for name in _AGGREGATES
        }
        exemplars = [self.row(row) for row in recorded.exemplars]
        return replace(recorded, **rows, exemplars=exemplars)


def _statement(redact: Redactor, text: str) -> str:
    return redact("statement", text)


def _engine(redact: Redactor, text: str) -> str:
    return redact("engine", text)


def _locks(redact: Redactor, locks: tuple[Lock, ...]) -> tuple[Lock, ...]:
    return tuple(lock._replace(statement=_statement(redact, lock.statement)) for lock in locks)


def _holders(redact: Redactor, holders: tuple[Holder, ...]) -> tuple[Holder, ...]:
    return tuple(
        holder._replace(statement=holder.statement and _statement(redact, holder.statement))
        for holder in holders
    )


def _inspected(redact: Redactor, inspected: Inspected) -> Inspected:
    return inspected._replace(
        waiting=tuple(
            waiter._replace(statement=_statement(redact, waiter.statement))
            for waiter in inspected.waiting
        )
    )


_CHANGES: dict[str, Callable[[Redactor, Any], Any]] = {
    "statement": _statement,
    "engine": _engine,
    "locks": _locks,
    "holders": _holders,
    "inspected": _inspected,
}
"""By the names of rows' fields."""

_AGGREGATES = (
    "statements",
    "bursts",
    "idle",
    "transactions",
    "external_calls",
    "pools",
    "holds",
    "checkouts",
)
"""The fields of `Recorded` with such rows."""


def redactor(setting: Function | str | None) -> Redactor:
    """That of a setting: the same one each time, which knows what it was asked."""
    try:
        return _redactor(setting)
    except TypeError:  # a callable that cannot be hashed
        return Redactor(setting)


_redactor = functools.lru_cache(maxsize=16)(Redactor)
