"""Who waits for whom: whether a task or thread that inherited a hold is its owner's hand.

A child task or thread that inherits an open hold is judged by it only while the owner waits for it.
Asked only where a hold was inherited, so it may take its time. What it reads of asyncio is private
and the same from CPython 3.11 to 3.13 (tests/test_inheritance.py); where it is gone nobody waits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any

_FAR = 10_000  # futures looked at before we give up

_WAITING_FILES = frozenset({"threading.py", "queue.py", "_base.py", "thread.py"})
"""Of the standard library: the innermost frame of a thread that waits for another."""

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
STDLIB = os.path.dirname(os.__file__) + os.sep  # as sysconfig says, which takes 2 ms to import

carried_by: ContextVar[Any] = ContextVar("txprof_carried_by", default=None)
"""In a thread that an executor lent us: the `concurrent.futures.Future` of the work."""


def current_task() -> Any:
    """The asyncio task that runs here, or None."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        # What raises where no event loop runs is six times as slow.
        loop = asyncio._get_running_loop()
        return None if loop is None else asyncio.current_task(loop)
    except (RuntimeError, AttributeError):  # half imported
        return None


def task_waits(owner: Any) -> bool:
    """Whether the task `owner` awaits, directly or through others, what runs here."""
    task = current_task()
    if task is not None:
        return waits_for(owner, task)
    future = carried_by.get()
    if future is not None:
        return waits_for(owner, future)
    # A worker thread that is not an executor's (anyio's): the owner waits for a bare future.
    waiter = getattr(owner, "_fut_waiter", None)
    return waiter is not None and not hasattr(waiter, "get_coro")


def thread_waits(ident: int, *, late: bool) -> bool:
    """Whether a thread stands in a lock, a queue, a join or a future of the standard library.

    In `Thread.start` it waits for a thread to start, not to end; but if it stands there still when
    the call that this is about is over (`late`), it waited for that.
    """
    frame = sys._current_frames().get(ident)
    waits = False
    while frame is not None and (filename := frame.f_code.co_filename).startswith(STDLIB):
        if frame.f_code.co_qualname == "Thread.start":
            return late
        waits = waits or os.path.basename(filename) in _WAITING_FILES
        frame = frame.f_back
    return waits


def waits_for(owner: Any, future: Any) -> bool:
    """Whether the task `owner` goes on when `future` is done."""
    seen: set[int] = set()
    found = [future]
    while found and len(seen) < _FAR:
        future = found.pop()
        if future is owner:
            return True
        if id(future) not in seen:
            seen.add(id(future))
            found.extend(_waiters(future))
    return False


def awaiting_frames() -> Iterator[FrameType]:
    """The frames of the tasks that wait for what runs here, the nearest first, innermost first."""
    future = current_task() or carried_by.get()
    seen: set[int] = set()
    found = [] if future is None else [future]
    while found and len(seen) < _FAR:
        future = found.pop(0)
        if id(future) in seen:
            continue
        if seen and hasattr(future, "get_coro"):
            yield from suspended_frames(future)
        seen.add(id(future))
        found.extend(_waiters(future))


def task_root() -> FrameType | None:
    """The outermost frame of the asyncio task that runs here; None if none does."""
    task = current_task()
    return None if task is None else root_frame(task)


def root_frame(task: Any) -> FrameType | None:
    """The frame of the coroutine that a task runs."""
    coroutine = task.get_coro()
    for name in ("cr_frame", "gi_frame", "ag_frame"):
        frame: FrameType | None = getattr(coroutine, name, None)
        if frame is not None:
            return frame
    return None


def suspended_frames(task: Any) -> list[FrameType]:
    """The frames in which a suspended task stands, innermost first."""
    frames: list[FrameType] = []
    awaited = task.get_coro()
    while awaited is not None:
        for prefix in ("cr", "ag", "gi"):
            frame = getattr(awaited, f"{prefix}_frame", None)
            if frame is not None:
                frames.append(frame)
                awaited = (
                    getattr(awaited, f"{prefix}_await", None)
                    or getattr(awaited, f"{prefix}_yieldfrom", None)
                    or _driven(frame)
                )
                break
        else:
            break
    return frames[::-1]


def _driven(frame: FrameType) -> Any:
    """What one of our drivers (`txprof.lines.stepping`) resumes by hand, if that is its frame."""
    if frame.f_code.co_name == "_steps" and frame.f_code.co_filename.startswith(_OWN):
        return frame.f_locals.get("driven")
    return None


def _waiters(future: Any) -> Iterator[Any]:
    """The tasks and futures that go on when `future` is done."""
    yield from getattr(future, "_asyncio_awaited_by", None) or ()  # CPython 3.14
    for callback, _context in getattr(future, "_callbacks", None) or ():
        yield from _behind(callback)
    for callback in getattr(future, "_done_callbacks", None) or ():  # concurrent.futures
        yield from _behind(callback)


def _behind(callback: Any) -> Iterator[Any]:
    receiver = getattr(callback, "__self__", None)
    if hasattr(receiver, "_fut_waiter"):  # the wake-up of a task
        yield receiver
    parent = getattr(receiver, "_parent_task", None)  # TaskGroup
    if parent is not None:
        yield parent
    yield from getattr(getattr(receiver, "_done", None), "_getters", ())  # as_completed, 3.13+
    # gather, shield, wait, wait_for, wrap_future close over what they complete; as_completed over
    # the queue that its reader waits for.
    function = getattr(callback, "func", callback)
    for value in (*getattr(callback, "args", ()), *_closed_over(function)):
        if hasattr(value, "_callbacks"):
            yield value
        host = getattr(getattr(value, "cancel_scope", None), "_host_task", None)
        if host is not None:  # anyio's task group, as it tells CPython 3.14 itself
            yield host
        yield from getattr(value, "_getters", ())


def _closed_over(function: Any) -> Iterator[Any]:
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # an empty cell
            continue
