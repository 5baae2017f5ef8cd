"""From a frame to the lines of the application.

Application means neither the standard library nor site-packages nor txprof itself, unless the
settings name a package as the application's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType

from txprof import compiled, waiting

Frame = tuple[str, int, str]
"""File, line, function: what `model.Site` holds, as a bare tuple, which is cheaper to make."""

Path = tuple[Frame, ...]
"""Application frames, innermost first."""

_INNERMOST, _OUTERMOST = 48, 16  # of a deeper path only these are kept: recursion stays bounded

_INTERACTIVE = ("<stdin>", "<input>", "<ipython", "<doctest", "<console>", "<python-input")
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_BESIDES_INSTALLED = (waiting.STDLIB, os.path.realpath(waiting.STDLIB) + os.sep, _OWN)
_INSTALLED = _SITE, _DIST = f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}"

_application_packages: set[str] = set()
known: dict[str, bool] = {}
"""Files (`co_filename`s) that were asked about, and the verdict."""

changed: list[Callable[[], None]] = []
"""Called when other code than before counts as the application's."""


def include(packages: Iterable[str]) -> None:
    """Count installed packages (by import name) or folders (by path) as application code."""
    new = {_normalised(package) for package in packages} - _application_packages
    if new:
        _application_packages.update(new)
        known.clear()
        for forget in changed:
            forget()


def is_application(filename: str) -> bool:
    """Whether code of this file (a `co_filename`) is the application's."""
    try:
        return known[filename]
    except KeyError:
        known[filename] = verdict = _classify(filename)
        return verdict


def path(frame: FrameType | None) -> Path:
    """The application frames from `frame` outwards, innermost first; across greenlets."""
    return path_of(application_frames(frame))


def application_frames(frame: FrameType | None) -> list[FrameType]:
    """Those of `frames` that are the application's."""
    if frame is None:
        return []
    root = waiting.task_root()
    if compiled.fast is not None:
        found = compiled.fast.application(frame, known, is_application, root, _outer_greenlets())
        if found is not None:
            return found  # type: ignore[no-any-return]
    return _application_frames(frame, root)


def _application_frames(frame: FrameType, root: FrameType | None) -> list[FrameType]:
    """What `_fast.c` does as well, where the path does not go on in another task."""
    found: list[FrameType] = []
    current: FrameType | None = frame
    outer = _outer_greenlets()
    while current is not None:
        while current is not None:
            if is_application(current.f_code.co_filename):
                found.append(current)
            elif current is root and not found:
                waiters = waiting.awaiting_frames()
                found += [each for each in waiters if is_application(each.f_code.co_filename)]
            current = current.f_back
        current = next(outer, None)
    return found


def numbers(frame: FrameType) -> tuple[int, ...]:
    """The same in numbers, which tell the instructions on one line apart, at half the cost.

    Code counts by its id: who keeps the numbers keeps the code too, lest an id be given away.
    """
    root = waiting.task_root()
    if compiled.fast is not None:
        found = compiled.fast.numbers(frame, known, is_application, root, _outer_greenlets())
        if found is not None:
            return found  # type: ignore[no-any-return]
    frames = _application_frames(frame, root)
    return tuple(number for each in frames for number in (id(each.f_code), each.f_lasti))


def of_task(path: Path, frame: FrameType) -> Path:
    """The part of a path at `frame` that the asyncio task runs: without who runs the loop."""
    root = waiting.task_root()
    if root is None:
        return path
    own = 0
    for each in frames(frame):
        own += is_application(each.f_code.co_filename)
        if each is root:
            return path[:own] or path
    return path


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Every frame from `frame` outwards, across greenlets.

    And out of a task of a library's own: SQLAlchemy shields the end of `async with session.begin()`
    like that, but it is the line that awaits it which writes.
    """
    outer = _outer_greenlets()
    root = waiting.task_root()
    while frame is not None:
        while frame is not None:
            yield frame
            if root is not None:
                if is_application(frame.f_code.co_filename):
                    root = None
                elif frame is root:
                    yield from waiting.awaiting_frames()
            frame = frame.f_back
        frame = next(outer, None)


def stack(frame: FrameType | None) -> Iterator[FrameType]:
    """Every frame from `frame` outwards, across greenlets."""
    outer = _outer_greenlets()
    while frame is not None:
        while frame is not None:
            yield frame
            frame = frame.f_back
        frame = next(outer, None)


def path_of(frames: Iterable[FrameType]) -> Path:
    """The application frames among these, in their order."""
    found = [
        (code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname)
        for frame in frames
        if is_application((code := frame.f_code).co_filename)
    ]
    if len(found) > _INNERMOST + _OUTERMOST:
        found[_INNERMOST:-_OUTERMOST] = []
    return tuple(found)


def mixing_site(call: Path, opener: Path) -> Frame | None:
    """The line that mixes: the innermost frame of `call` whose function also opened.

    The two paths are compared by function from the outside in. Where they share none (a framework
    opened the transaction), it is the innermost application line of the call.
    """
    shared = 0
    for ours, theirs in zip(reversed(call), reversed(opener), strict=False):
        if ours[0] != theirs[0] or ours[2] != theirs[2]:
            break
        shared += 1
    if shared:
        return call[-shared]
    return call[0] if call else None


def _outer_greenlets() -> Iterator[FrameType]:
    # A hook that runs in a greenlet sees f_back end at the greenlet's root; the story goes on in
    # the parent, where it stands suspended.
    try:
        current = sys.modules["greenlet"].getcurrent().parent
    except (AttributeError, KeyError):  # half imported, or not at all
        return
    while current is not None:
        frame = current.gr_frame
        if frame is not None:
            yield frame
        current = current.parent


def _classify(filename: str) -> bool:
    if filename.startswith("<"):
        return filename.startswith(_INTERACTIVE)
    # Asked of every module there is as the sensors go in: what most of them are comes first.
    if _application_packages and any(_within(filename, each) for each in _application_packages):
        return True
    if _SITE in filename or _DIST in filename:
        return False
    return not filename.startswith(_BESIDES_INSTALLED)


def _within(filename: str, package: str) -> bool:
    if os.path.isabs(package):
        return filename == package or filename.startswith(package + os.sep)
    tail = package.replace(".", os.sep)
    return any(f"{part}{tail}{end}" in filename for part in _INSTALLED for end in (os.sep, ".py"))


def _normalised(package: str) -> str:
    looks_like_path = os.sep in package
    return os.path.abspath(package) if looks_like_path else package
