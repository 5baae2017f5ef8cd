"""A process of a program under `txprof run`: from Python's start to its end, however it ends."""

from __future__ import annotations

import atexit
import builtins
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from txprof.lines.targets import functions_of
from txprof.programs import children
from txprof.programs.orders import VARIABLE, Orders, clear_environment
from txprof.programs.part import Part
from txprof.safety import note_once
from txprof.settings import enabled

_part: Part | None = None

_TERMINATION = 5.0
"""Seconds that a SIGTERM waits for what is being written."""


def start() -> None:
    """Python starts, with orders in its environment."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return
    try:
        orders = Orders.decode(text)
        if orders.children:
            os.environ[VARIABLE] = orders.as_child().encode()
        else:
            clear_environment()
        if enabled():
            _begin(orders)
    except Exception as error:
        # Not in silence: a detector that is inert must not pass for a clean program.
        print(f"txprof: this process is not watched: {error}", file=sys.stderr)


def join(text: str) -> None:
    """A child that multiprocessing spawned starts; `text` came with what it is to do."""
    if _part is None:
        try:
            _begin(Orders.decode(text))
        except Exception as error:
            note_once("watching a spawned process", error)


def orders_for_children() -> str | None:
    """What a child of this process is told."""
    return None if _part is None else _part.orders.as_child().encode()


def finish() -> None:
    """The process ends."""
    if _part is not None:
        _part.finish()


def _begin(orders: Orders) -> None:
    global _part
    _part = Part(orders, before_main=True)
    if orders.builtin:
        setattr(builtins, "profile", _profile)  # noqa: B010  (no such builtin, says mypy)
    # First in, last out: what the program does at its own exit counts too.
    atexit.register(finish)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
    children.watch()
    _part.flusher.start()


def _profile(function: Any) -> Any:
    """kernprof's builtin: `@profile` line-profiles a function."""
    if _part is not None:
        _part.run.time_lines(functions_of(function))
    return function


def _terminate(number: int, _frame: FrameType | None) -> None:
    """Nobody else wants this signal: write down what there is, and die of it.

    On the thread of the flusher: the signal may have come while this one had a lock of ours.
    """
    if _part is not None:
        _part.flusher.flush_now(_TERMINATION)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _before_fork() -> None:
    if _part is not None:
        _part.flusher.stand_aside()


def _after_fork() -> None:
    global _part
    if _part is None:
        return
    orders = _part.orders.as_child()
    try:
        _part.abandon()
        _part = Part(orders, before_main=False)
        _part.flusher.start()
    except Exception as error:
        _part = None
        note_once("watching a forked process", error)
