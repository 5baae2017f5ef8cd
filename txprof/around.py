"""Doing something around every kind of function, without changing what it is.

A wrap keeps name, signature, defaults and nature (function, coroutine function, generator, async
generator), passes results and exceptions through, and leaves no frame of its own in a traceback.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import CodeType
from typing import Any, Protocol

from txprof.safety import drop_own_frame

Wrapper = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]
"""wrapt's: (wrapped, instance, args, kwargs) -> result."""


def _annotations(wrap: Any) -> Any:
    return wrap.__wrapped__.__annotations__


def _annotate(wrap: Any, annotations: Any) -> None:
    wrap.__wrapped__.__annotations__ = annotations


ANNOTATIONS = property(_annotations, _annotate)
"""`__annotations__` for each class of a wrap. Without it, whoever asks one of wrapt's classes for
its own gives it an empty one, which hides those of all functions from then on."""


class Span(Protocol):
    """What is done around one call. A generator enters and leaves once for each step."""

    def enter(self) -> None:
        """The code runs from here."""

    def leave(self) -> None:
        """It stopped: for good, or until its consumer wants the next value."""

    def end(self, *, failed: bool) -> None:
        """It stopped for good: returned, or `failed`: raised or was closed."""


class Unstarted:
    """A coroutine for another one to drive. If that never starts, it is closed along with it.

    Closed, or cancelled before its first step, a coroutine ends without a word; one that nobody
    closes is warned of, as never awaited.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def take(self) -> Any:
        """The coroutine: whoever drives it starts now."""
        coroutine, self._coroutine = self._coroutine, None
        return coroutine

    def __del__(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()


def around(function: Any, new_span: Callable[[], Span]) -> Wrapper:
    """The wrapper that puts a new span around each call of `function`."""
    if isinstance(function, classmethod | staticmethod):
        function = function.__func__
    drive: Callable[[Any, Span], Any] | None = None
    if inspect.isasyncgenfunction(function):
        drive = _drive_async_generator
    elif inspect.iscoroutinefunction(function):
        drive = _drive_coroutine
    elif inspect.isgeneratorfunction(function):
        drive = _drive_generator
    if drive is None:
        return _around_call(function, new_span)
    return _around_steps(drive, new_span)


def _around_steps(drive: Callable[[Any, Span], Any], new_span: Callable[[], Span]) -> Wrapper:
    def call(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            made = wrapped(*args, **kwargs)
        except BaseException as error:  # such arguments it does not take
            drop_own_frame(error)
            raise
        return _named(drive(made, new_span()), wrapped)

    return call


def _around_call(function: Any, new_span: Callable[[], Span]) -> Wrapper:
    # Decorated by others, it may return what a coroutine or generator function made: its call goes
    # on with that.
    innermost = inspect.unwrap(function)
    may_go_on = innermost is not function and _STEPPED & getattr(
        getattr(innermost, "__code__", None), "co_flags", 0
    )

    def call(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        span = new_span()
        span.enter()
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            span.leave()
            span.end(failed=True)
            drop_own_frame(error)
            raise
        span.leave()
        # Not with what somebody else has too: it could be handed out again.
        if may_go_on and sys.getrefcount(result) <= _OURS_ALONE:
            going_on = _going_on(result, innermost.__code__, span)
            if going_on is not None:
                return going_on
        span.end(failed=False)
        return result

    return call


_STEPPED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


_OURS_ALONE = 2
"""References to an object that only the function at hand has, as `sys.getrefcount` counts."""


def _going_on(result: Any, code: CodeType, span: Span) -> Any:
    """`result` within the span, if it is what a function of this code made, or its `with` block."""
    if isinstance(
        result, contextlib.AbstractContextManager | contextlib.AbstractAsyncContextManager
    ):
        made = getattr(result, "gen", None)  # of `contextlib.contextmanager`
        going_on = _going_on(made, code, span)
        if going_on is None:
            return None
        result.gen = going_on  # type: ignore[union-attr]
        return result
    for prefix, drive in (
        ("cr", _drive_coroutine),
        ("gi", _drive_generator),
        ("ag", _drive_async_generator),
    ):
        if getattr(result, f"{prefix}_code", None) is code:
            return _named(drive(result, span), result)
    return None


def _drive_coroutine(coroutine: Coroutine[Any, Any, Any], span: Span) -> Any:
    return _await_coroutine(Unstarted(coroutine), span)


async def _await_coroutine(unstarted: Unstarted, span: Span) -> Any:
    coroutine = unstarted.take()
    try:
        span.enter()
    except BaseException:
        coroutine.close()
        raise
    try:
        result = await coroutine
    except BaseException as error:
        span.leave()
        span.end(failed=True)
        drop_own_frame(error)
        raise
    span.leave()
    span.end(failed=False)
    return result


# One generator, no `yield from` to another: `close()` returns what the function returns then.
def _drive_generator(generator: Generator[Any, Any, Any], span: Span) -> Generator[Any, Any, Any]:
    step: Callable[[Any], Any] = generator.send
    argument: Any = None
    while True:
        try:
            span.enter()
            try:
                value = step(argument)
            finally:
                span.leave()
        except StopIteration as stop:
            result = stop.value
            break
        except BaseException as error:
            span.end(failed=True)
            drop_own_frame(error)
            raise
        argument = None
        try:
            argument = yield value
            step = generator.send
        except BaseException as error:
            drop_own_frame(error)
            step, argument = generator.throw, error
    span.end(failed=False)
    return result


async def _drive_async_generator(
    generator: AsyncGenerator[Any, Any], span: Span
) -> AsyncGenerator[Any, Any]:
    step: Callable[[Any], Any] = functools.partial(first_step, generator)
    argument: Any = None
    while True:
        span.enter()
        try:
            value = await step(argument)
        except StopAsyncIteration:
            span.leave()
            span.end(failed=False)
            return
        except BaseException as error:
            span.leave()
            span.end(failed=True)
            drop_own_frame(error)
            raise
        span.leave()
        argument = None
        try:
            argument = yield value
            step = generator.asend
        except BaseException as error:
            drop_own_frame(error)
            step, argument = generator.athrow, error


def first_step(generator: AsyncGenerator[Any, Any], _argument: Any = None) -> Any:
    """`generator.asend(None)`, of which the event loop is not told.

    It knows the generator around this one, and closes that at its end; would it close both at the
    same time, one of them would find the other at it.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _named(made: Any, wrapped: Any) -> Any:
    """A coroutine or generator under the name of the function it stands for."""
    made.__name__ = wrapped.__name__
    made.__qualname__ = wrapped.__qualname__
    return made
