"""Nothing txprof does may change the program: how our own errors and frames stay out of it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType
from typing import Any

aside: Callable[[], AbstractContextManager[None]] = nullcontext
"""Around what we ask of the user's own functions: their calls are none of the program's. The
sensors, which see calls, put theirs here (`sensors.external.aside`)."""

logger = logging.getLogger("txprof")

_noted: set[str] = set()


def note_once(what: str, error: BaseException) -> None:
    """A part of ours failed: say so once, at debug level, and let the program go on."""
    if what not in _noted:
        _noted.add(what)
        logger.debug("txprof: %s gave way: %s", what, where(error))


def where(error: BaseException) -> str:
    """An error's type and where it came from. Not its text, which may tell of the program's data.

    AttributeError at /app/.venv/.../txprof/sensors/aws.py:43 in operation
    """
    import traceback

    frames = traceback.extract_tb(error.__traceback__, limit=-3)
    places = " < ".join(f"{at.filename}:{at.lineno} in {at.name}" for at in reversed(frames))
    return f"{type(error).__name__} at {places}" if places else type(error).__name__


def name_of(function: Any) -> str:
    """As a note has it."""
    return getattr(function, "__qualname__", None) or repr(function)


class Fuses:
    """Parts of ours that are switched off when they fail again and again.

    What fails once may have met a strange argument; what fails three times in a row met a library
    that changed.
    """

    _TRIES = 3

    def __init__(self) -> None:
        self.failures: dict[Any, int] = {}
        """How often in a row. Public for who cannot afford a call where nothing failed."""

    def is_off(self, part: Any) -> bool:
        """Whether it is not worth another try."""
        return self.failures.get(part, 0) >= self._TRIES

    def failed(self, part: Any, what: str, error: BaseException) -> None:
        """It did, once more."""
        note_once(what, error)
        self.failures[part] = self.failures.get(part, 0) + 1

    def worked(self, part: Any) -> None:
        """It did: what failed before was no matter of the library."""
        self.failures.pop(part, None)

    def reset(self) -> None:
        """Everything is worth a try again."""
        self.failures.clear()


def passing_for(module: str, function: Any) -> Any:
    """The same function, whose frames pass for frames of that module.

    SQLAlchemy warns of the first line outside of its own modules, which has to be the program's.
    """
    same = FunctionType(
        function.__code__,
        {**function.__globals__, "__name__": module},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    same.__kwdefaults__ = function.__kwdefaults__
    return functools.update_wrapper(same, function, updated=("__dict__",))


def drop_own_frame(error: BaseException) -> None:
    """Take the frame that caught `error`, one of ours, out of its traceback.

    A bare `raise` adds no entry of its own, so the program sees the traceback that it would have
    without us. Only for use in the frame that is to vanish.
    """
    traceback = error.__traceback__
    if traceback is not None:
        error.__traceback__ = traceback.tb_next
