"""Who has a connection, by name, and where that thread or task stands now."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from threading import get_ident
from types import FrameType
from typing import Any
from weakref import ref

from txprof import callsite, waiting
from txprof.model import Site

Task = ref[Any] | None
"""Weakly the asyncio task that owns something; None for what a thread owns."""

ENDED_TASK = "a task that ended"
ENDED_THREAD = "a thread that ended"


def name(thread: int, task: Task) -> str:
    """The thread or task, by name."""
    if task is not None:
        running = task()
        if running is None or running.done():
            return ENDED_TASK
        return f"task {running.get_name()}"
    for one in threading.enumerate():
        if one.ident == thread:
            return f"thread {one.name}"
    return ENDED_THREAD


def has_ended(thread: int, task: Task) -> bool:
    """Whether the task, or the thread, is no more."""
    if task is not None:
        running = task()
        return running is None or bool(running.done())
    return all(one.ident != thread for one in threading.enumerate())


def is_here(thread: int, task: Task) -> bool:
    """Whether it is what runs now."""
    if thread != get_ident():
        return False
    # What was opened without a task was below whatever event loop runs on this thread now.
    return task is None or task() is waiting.current_task()


def stands_at(thread: int, task: Task, frames: Mapping[int, FrameType]) -> Site | None:
    """The application line that it is at; `frames` are the threads' as of now."""
    if task is not None and not is_here(thread, task):
        running = task()
        suspended = () if running is None else waiting.suspended_frames(running)
        return next((Site(*at) for at in callsite.path_of(suspended)), None)
    if thread == get_ident():  # across greenlets, which the others' frames do not show
        return next((Site(*at) for at in callsite.path(sys._getframe(1))), None)
    frame = frames.get(thread)
    while frame is not None:
        for at in callsite.path_of([frame]):
            return Site(*at)
        frame = frame.f_back
    return None


_EXECUTES = ("do_execute", "do_executemany", "do_execute_no_params")


def runs(thread: int, task: Task, frames: Mapping[int, FrameType]) -> str | None:
    """The statement that a thread sends just now, by the frames of SQLAlchemy's dialect."""
    frame = None if task is not None else frames.get(thread)
    while frame is not None:
        if frame.f_code.co_name in _EXECUTES:
            statement = frame.f_locals.get("statement")
            if isinstance(statement, str):
                return statement
        frame = frame.f_back
    return None
