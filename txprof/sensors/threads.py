"""Threads and executors started here inherit what is open, who watches and what is allowed.

Only txprof's own context variables travel: those of the program stay as Python leaves them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any

from txprof import visits, waiting
from txprof.safety import drop_own_frame, note_once
from txprof.sensors.placing import Target

_inherited: list[ContextVar[Any]] = []


def inherit(variable: ContextVar[Any]) -> None:
    """A started thread gets this variable's value."""
    _inherited.append(variable)


class _Carried:
    """A function that runs elsewhere with our variables as they are here."""

    __slots__ = ("_function", "_values", "future")

    def __init__(self, function: Callable[..., Any], frame: FrameType) -> None:
        self._function = function
        self._values = [(variable, variable.get()) for variable in _inherited]
        self._values.append((visits.visit_here, _visit(frame)))
        self.future: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tokens = [(variable, variable.set(value)) for variable, value in self._values]
        tokens.append((waiting.carried_by, waiting.carried_by.set(self.future)))
        try:
            return self._function(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            for variable, token in reversed(tokens):
                variable.reset(token)


def _visit(frame: FrameType) -> Any:
    try:
        return visits.carried(frame)
    except Exception as error:
        note_once("what a thread works for", error)
        return None


def _submit(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        if args and (visits.current is not None or any(each.get() for each in _inherited)):
            carried = _Carried(args[0], sys._getframe())
            carried.future = wrapped(carried, *args[1:], **kwargs)
            return carried.future
        return wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise


def _start(wrapped: Any, thread: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        inherits = visits.current is not None or any(each.get() for each in _inherited)
        if inherits and not _has_its_own_run(thread):
            _carry_run(thread, sys._getframe())
        return wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise


def _has_its_own_run(thread: Any) -> bool:
    try:
        return "run" in vars(thread)
    except Exception as error:
        note_once("what a thread inherits", error)
        return True


def _carry_run(thread: Any, frame: FrameType) -> None:
    try:
        carried = _Carried(thread.run, frame)
    except Exception as error:
        note_once("what a thread inherits", error)
        return

    def run() -> None:
        del thread.run
        try:
            carried()
        except BaseException as error:
            drop_own_frame(error)
            raise

    thread.run = run


TARGETS = (
    Target("threading", "Thread.start", _start),
    Target("concurrent.futures.thread", "ThreadPoolExecutor.submit", _submit),
)
