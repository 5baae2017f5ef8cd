"""Nothing txprof does may change the program: how our own errors and frames stay out of it."""

from __future__ import annotations

import logging

logger = logging.getLogger("txprof")

_noted: set[str] = set()


def note_once(what: str, error: BaseException) -> None:
    """A part of ours failed: say so once, at debug level, and let the program go on."""
    if what not in _noted:
        _noted.add(what)
        logger.debug("txprof: %s gave way: %r", what, error, exc_info=error)


def drop_own_frame(error: BaseException) -> None:
    """Take the frame that caught `error`, one of ours, out of its traceback.

    A bare `raise` adds no entry of its own, so the program sees the traceback that it would have
    without us. Only for use in the frame that is to vanish.
    """
    traceback = error.__traceback__
    if traceback is not None:
        error.__traceback__ = traceback.tb_next
