"""Where a statement is sent from, found again fast.

A `Place` is one call path of the application. The same path is the same object for as long as it
is remembered, so that who counts by it need not compare frames. A path that was walked once is kept
as steps, from the inside out; the next statement only makes sure that its stack agrees with them.
"""

from __future__ import annotations

import sys
from sys import _getframe as getframe
from types import CodeType, FrameType
from typing import Any

from txprof import callsite, compiled, waiting
from txprof.callsite import Path, is_application

_MOST = 10_000
"""Frames, and places, that are remembered: with one more all are forgotten, and found anew."""


class Place:
    """A call path of the application, told apart by code objects and the instructions in them."""

    __slots__ = ("asking", "codes", "path")

    def __init__(self, path: Path, asking: Path, codes: list[CodeType]) -> None:
        self.path = path
        self.asking = asking
        """The same without what lies around the event loop."""
        self.codes = codes
        """Kept, lest an id that it is known by be given away."""


Frame = tuple[CodeType, int]
"""The code of a frame and the instruction it stands at."""


class Step:
    """Out past the libraries, if any, and along the application's frames behind them."""

    __slots__ = ("called", "depth", "end", "frames", "near", "outer", "place", "steps")

    def __init__(self, frames: tuple[Frame, ...], end: int) -> None:
        self.frames = frames
        """Those of the application, innermost first; none at the end of the stack."""
        self.end = end
        """How far out the last of them is, seen from `here`."""
        self.depth = 0
        """How far out the outermost frame of the libraries is; 0 if there is none."""
        self.called: object = None
        """Its code: what the application called."""
        self.near: object = None
        """Where there are several: the code of the innermost, which called the step before."""
        self.outer = _NOWHERE
        """The step that came after it last."""
        self.steps: dict[tuple[Any, ...], Step] = {}
        """All that ever did."""
        self.place: Any = None
        """At the end of the stack: where all the steps lead to."""


_NOWHERE: Any = None
_NOWHERE = Step((), 0)
"""A step that no stack agrees with."""
_NOWHERE.depth, _NOWHERE.called = 1, object()


class Start:
    """A statement, which knows the first step that it took last."""

    __slots__ = ("first",)

    def __init__(self) -> None:
        self.first: Step = _NOWHERE


_SENSOR = 2
"""How far out from `here` the wrap of ours is that somebody called; no application is nearer."""

_firsts: dict[tuple[Any, ...], Step] = {}
_places: dict[tuple[int, ...], Place] = {}
_remembered = 0
_greenlet: Any = None
"""`greenlet.getcurrent`, where greenlet is imported."""


def here_in_python(start: Start) -> Place:
    """Where the wrap two frames out was called from.

    Runs for every statement (benchmarks/statements.py). What costs is to ask a frame for an
    attribute, so libraries are passed in one go: their number, first and last frame must agree.
    `_fast.c` does the same, and asks this one where no step agrees.
    """
    frame: Any = None
    last: Any = None
    inner: Step | None = None
    step = start.first
    try:
        while True:
            if step.near is not None and frame.f_back.f_code is not step.near:
                break
            if step.depth:
                frame = getframe(step.depth)
                if frame.f_code is not step.called:
                    break
            for code, lasti in step.frames:
                frame = frame.f_back
                if frame.f_code is not code or frame.f_lasti != lasti:
                    break
            else:
                if step.place is None:
                    last = frame
                    inner = step
                    step = step.outer
                    continue
                if frame.f_back is not None:
                    break
                if _greenlet is None:
                    if "greenlet" in sys.modules:
                        break
                elif _greenlet().parent is not None:
                    break
                return step.place  # type: ignore[no-any-return]
            break
    except (AttributeError, ValueError):  # the stack is not that deep
        pass
    return _walked(start, inner, last or getframe(_SENSOR))


def _walked(start: Start, inner: Step | None, frame: FrameType) -> Place:
    """The same, step by step from the one that was agreed with last, and remembered."""
    sensor = getframe(_SENSOR + 1)
    if not is_outermost_greenlet():
        return _place(sensor)
    root = waiting.task_root()
    called: object
    near: object
    while True:
        passed = _passed(frame, root if inner is None else None)
        if passed is None:
            return _place(sensor)  # the path goes on with the tasks that wait for this one
        between, near, called, frames, last = passed
        if inner is None and not between:
            called = frame.f_code
        is_last = last.f_back is None
        steps = _firsts if inner is None else inner.steps
        # The codes, too: one line may call several functions of libraries, by turns.
        codes = (id(near), id(called))
        identity = (between, codes, *((id(code), lasti) for code, lasti in frames), is_last)
        step = steps.get(identity)
        if step is None:
            end = _SENSOR if inner is None else inner.end
            step = Step(frames, end + between + len(frames))
            if called is not None:
                step.depth, step.called = end + between, called
            if inner is not None and between > 1:
                step.near = near
            if is_last:
                step.place = _place(sensor)
            steps[identity] = step
            _count(1 + len(frames))
        if inner is None:
            start.first = step
        else:
            inner.outer = step
        if is_last:
            return step.place  # type: ignore[no-any-return]
        inner, frame = step, last


Passed = tuple[int, CodeType | None, CodeType | None, tuple[Frame, ...], FrameType]


def passed_in_python(frame: FrameType, root: FrameType | None) -> Passed | None:
    """Out from a frame, past libraries and along the application's frames around those.

    How many frames of libraries, the code of the innermost and of the outermost of them; the
    application's; and the last frame of all. None where `root` is among the libraries'.
    """
    between = 0
    near = far = None
    frames: list[Frame] = []
    outer = frame.f_back
    while outer is not None:
        code = outer.f_code
        if is_application(code.co_filename):
            frames.append((code, outer.f_lasti))
        elif frames:
            break
        elif outer is root:
            return None
        else:
            far = code
            near = near or code
            between += 1
        frame, outer = outer, outer.f_back
    return between, near, far, tuple(frames), frame


def _passed(frame: FrameType, root: FrameType | None) -> Passed | None:
    if compiled.fast is None:
        return passed_in_python(frame, root)
    return compiled.fast.passed(frame, callsite.known, is_application, root)  # type: ignore[no-any-return]


def is_outermost_greenlet() -> bool:
    """Whether the stack has no part in another greenlet."""
    global _greenlet
    if _greenlet is None:
        module = sys.modules.get("greenlet")
        if module is None:
            return True
        try:
            _greenlet = module.getcurrent
        except AttributeError:  # half imported
            return False
    return _greenlet().parent is None


def _place(frame: FrameType) -> Place:
    """The place of a stack, however it was walked."""
    numbers = callsite.numbers(frame)
    place = _places.get(numbers)
    if place is None:
        if len(_places) >= _MOST:
            forget()
        frames = callsite.application_frames(frame)
        path = callsite.path_of(frames)
        codes = [each.f_code for each in frames]
        place = Place(path, callsite.of_task(path, frame), codes)
        place = _places.setdefault(numbers, place)
    return place


def _count(new: int) -> None:
    global _remembered
    _remembered += new
    if _remembered > _MOST:
        forget()


def forget() -> None:
    """Every path is a new one from now on."""
    global _remembered
    for step in list(_firsts.values()):
        step.called = None  # for the statements that know it
    _firsts.clear()
    _places.clear()
    _remembered = 0


callsite.changed.append(forget)

here = here_in_python
if compiled.bind(places=globals(), getframe=getframe, walk=here_in_python, Start=Start, Step=Step):
    here = compiled.fast.here  # type: ignore[union-attr]
