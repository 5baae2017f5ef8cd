"""A function that txprof wraps raises what it raised, with the same traceback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from same_functions import every_function, frames_of, generator


def raising(make: Any, how: str) -> Callable[[], Any]:
    async def consume() -> list[int]:
        return [item async for item in make(6)]

    return {
        "plain": lambda: make(-1),
        "coroutine": lambda: asyncio.run(make(-1)),
        "generator": lambda: list(make(6)),
        "async_generator": lambda: asyncio.run(consume()),
    }[how]


@every_function
def test_exceptions_and_tracebacks_are_the_same(wrap: Any, function: Any) -> None:
    expected = frames_of(raising(function, function.__name__))
    assert frames_of(raising(wrap(function), function.__name__)) == expected


def test_an_exception_thrown_in_has_the_same_traceback(wrap: Any) -> None:
    def throw(make: Any) -> None:
        gen = make(3)
        next(gen)
        gen.throw(OSError("thrown"))

    expected = frames_of(lambda: throw(generator))
    assert frames_of(lambda: throw(wrap(generator))) == expected


@every_function
def test_bad_arguments_raise_the_same_type_error(wrap: Any, function: Any) -> None:
    expected = frames_of(lambda: function())
    assert frames_of(lambda: wrap(function)()) == expected
