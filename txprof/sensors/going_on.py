"""Calls that go on after they returned.

The body of a response is read later, a transfer is waited for: the call hangs on the object that
this is asked of (`streams.keep`). Its time goes on where it started; but one that started while
nothing was open is judged again where somebody waits for it with a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from txprof import collector, context
from txprof.around import Unstarted, Wrapper, around
from txprof.safety import drop_own_frame, note_once
from txprof.sensors.external import ExternalCall, begin, is_nested
from txprof.sensors.placing import only_where
from txprof.sensors.streams import Streams, keep, keep_all, kept


def goes_on(streams: Streams | None = None, of: Callable[[Any], Any] | None = None) -> Wrapper:
    """A wrap of a method in which a call goes on that its object was given by `keep`.

    `of`: where an object that takes no attribute has one that does, and was given it.
    """

    @only_where(kept if of is None else lambda instance: kept(_part(of, instance)))
    def sensor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = resumed(instance if of is None else _part(of, instance))
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if call is not None:
                call.leave()
        if call is not None and streams is not None:
            keep_all(call, streams, result)
        return result

    return sensor


@only_where(kept)
def goes_on_in_steps(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The same for a generator function of either kind, or a coroutine function."""
    try:
        if kept(instance) is None:
            return wrapped(*args, **kwargs)
        return around(wrapped, lambda: _Steps(instance))(wrapped, instance, args, kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise


@only_where(kept)
def goes_on_awaited(
    wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The same for an `__await__`: the call goes on while somebody waits for its object."""
    try:
        steps = wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    if kept(instance) is None:
        return steps
    unstarted = Unstarted(Awaitable(steps))

    async def run() -> Any:
        awaitable = unstarted.take()
        call = resumed(instance)
        try:
            return await awaitable
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if call is not None:
                call.leave()

    return run().__await__()


class Awaitable:
    """What is awaited in the steps that an `__await__` gave."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Any) -> None:
        self._steps = steps

    def __await__(self) -> Any:
        return self._steps

    def close(self) -> None:
        """Nobody awaits it: those of a coroutine or a generator say so."""
        close = getattr(self._steps, "close", None)
        if close is not None:
            close()


class _Steps:
    """A span (`txprof.around`) around each step of reading a stream."""

    __slots__ = ("_call", "_stream")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._call: ExternalCall | None = None

    def enter(self) -> None:
        self._call = resumed(self._stream)

    def leave(self) -> None:
        if self._call is not None:
            self._call.leave()

    def end(self, *, failed: bool) -> None:
        pass


def _part(of: Callable[[Any], Any], instance: Any) -> Any:
    try:
        return of(instance)
    except Exception as error:  # another version of the library
        note_once(f"the part by {of.__qualname__}", error)
        return None


def resumed(stream: Any) -> ExternalCall | None:
    """The call that goes on here, entered; judged anew where it begins to mix."""
    call = kept(stream)
    if call is None or call.entered or is_nested():
        return None
    if call.mixes() or call.described is None or not (_is_open() and collector.active()):
        call.enter()
        return call
    call.take_back()
    again = begin(call.described)
    if again is not None:
        keep(again, stream)
    return again


def _is_open() -> bool:
    try:
        return bool(context.open_here())
    except Exception as error:
        note_once("a call that goes on", error)
        return False
