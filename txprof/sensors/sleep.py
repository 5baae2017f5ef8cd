"""Sleeping, where the application asks for it itself, or through a library that retries for it.

Event loops, pools and drivers sleep for reasons of their own: that is no call. Nor is a sleep of no
length, which gives way to other threads or tasks.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from txprof import callsite, collector
from txprof.around import Wrapper
from txprof.safety import drop_own_frame, note_once
from txprof.sensors.external import Describe, Described, watched, watched_coroutine
from txprof.sensors.placing import Client, Target, only_where

_RETRYING = frozenset({"backoff", "retry", "retrying", "stamina", "tenacity"})
"""Packages that sleep between the attempts of what the application calls through them."""


def _asked_for(frame: FrameType | None) -> bool:
    try:
        # A greenlet or a thread may do nothing else: then nobody called it.
        if frame is None or callsite.is_application(frame.f_code.co_filename):
            return True
        return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _RETRYING
    except Exception as error:
        note_once("who asks for sleep", error)
        return False


def _describe(target: str, parameter: str) -> Describe:
    def describe(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
        try:
            asleep = (args[0] if args else kwargs[parameter]) > 0
        except Exception:  # the function itself tells the program what is wrong
            return None
        return Described("sleep", target) if asleep else None

    return describe


def _if_asked_for(watch: Wrapper) -> Wrapper:
    @only_where(collector.watches)
    def sensor(wrapped: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            if _asked_for(sys._getframe().f_back):
                return watch(wrapped, module, args, kwargs)
            return wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise

    return sensor


CLIENTS = (
    Client(
        "time",
        "sleep",
        "time.sleep",
        (Target("time", "sleep", _if_asked_for(watched(_describe("time.sleep", "secs")))),),
    ),
    Client(
        "asyncio",
        "sleep",
        "asyncio.sleep",
        (
            Target(
                "asyncio",  # what asyncio itself calls is in `asyncio.tasks`
                "sleep",
                _if_asked_for(watched_coroutine(_describe("asyncio.sleep", "delay"))),
            ),
        ),
    ),
)
