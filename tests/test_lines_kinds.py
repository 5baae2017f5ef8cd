"""Every kind of function is timed, and does what it did."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from helpers import FakeClock, eventually, line_of

import txprof


def by_others(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Order:
    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def total(self) -> int:
        return self.number * 2

    @functools.cached_property
    def cached(self) -> int:
        return self.number * 3

    @classmethod
    def make(cls, number: int) -> Order:
        return cls(number)

    @staticmethod
    def tax(number: int) -> int:
        return number + 1

    @by_others
    def wrapped(self) -> int:
        return self.number


def add(one: int, two: int = 2) -> int:
    return one + two


@functools.lru_cache
def remembered(number: int) -> int:
    return number


@by_others
def wrapped(number: int) -> int:
    return number


def outer(number: int) -> Callable[[], int]:
    def inner() -> int:
        return number

    return inner


partial = functools.partial(add, two=3)
closure = outer(7)
one_line = lambda number: number + 1  # noqa: E731


@pytest.mark.parametrize(
    ("target", "call", "expected"),
    [
        pytest.param(Order.total, lambda: Order(2).total, 4, id="property"),
        pytest.param(Order.cached, lambda: Order(2).cached, 6, id="cached_property"),
        pytest.param(Order.make, lambda: Order.make(2).number, 2, id="classmethod"),
        pytest.param(Order.tax, lambda: Order.tax(2), 3, id="staticmethod"),
        pytest.param(Order.wrapped, lambda: Order(2).wrapped(), 2, id="method decorated by others"),
        pytest.param(Order(1).tax, lambda: Order(2).tax(2), 3, id="bound method"),
        pytest.param(partial, lambda: partial(1), 4, id="partial"),
        pytest.param(remembered, lambda: remembered(3), 3, id="lru_cache"),
        pytest.param(wrapped, lambda: wrapped(3), 3, id="decorated by others"),
        pytest.param(closure, lambda: closure(), 7, id="closure"),
        pytest.param(one_line, lambda: one_line(3), 4, id="one line"),
    ],
)
def test_it_is_timed_where_it_is_called(
    target: Any, call: Callable[[], object], expected: object
) -> None:
    remembered.cache_clear()
    with txprof.profile(target, on_finding="ignore") as prof:
        assert call() == expected
    (function,) = prof.functions
    assert function.calls == 1
    assert [line.hits for line in function.lines.values()] == [1]


def test_a_comprehension_is_part_of_its_line() -> None:
    def squares(number: int) -> list[int]:
        return [
            x * x  # element
            for x in range(number)
        ]

    with txprof.profile(squares) as prof:
        assert squares(3) == [0, 1, 4]
    (function,) = prof.functions
    assert function.calls == 1
    assert function.lines


def test_a_decorated_property_is_profiled() -> None:
    class Product:
        @property
        @txprof.profile(report=None)
        def price(self) -> int:
            return 3

    assert Product().price == 3
    assert Product.price.fget.__txprof__.functions[0].calls == 1  # type: ignore[attr-defined]


# Decorated by others


def test_what_a_plain_wrapper_returns_is_part_of_the_call() -> None:
    @txprof.profile(report=None)
    @by_others
    async def coroutine(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @txprof.profile(report=None)
    @by_others
    def generator(number: int) -> Iterator[int]:
        yield number
        yield number

    @txprof.profile(report=None)
    @by_others
    async def async_generator(number: int) -> AsyncIterator[int]:
        yield number

    async def consume() -> list[int]:
        return [await coroutine(1), *generator(2), *[item async for item in async_generator(3)]]

    assert asyncio.run(consume()) == [1, 2, 2, 3]
    for function in (coroutine, generator, async_generator):
        profile = function.__txprof__  # type: ignore[attr-defined]
        (row,) = profile.functions
        assert (row.calls, profile.recorded.calls) == (1, 1)
        assert all(line.hits == 1 for line in row.lines.values())


def test_what_a_wrapper_hands_out_again_stays_the_same() -> None:
    made: list[Iterator[int]] = []

    def once(function: Callable[[], Iterator[int]]) -> Callable[[], Iterator[int]]:
        @functools.wraps(function)
        def wrapper() -> Iterator[int]:
            if not made:
                made.append(function())
            return made[0]

        return wrapper

    @txprof.profile(report=None)
    @once
    def shared() -> Iterator[int]:
        yield 1
        yield 2

    assert shared() is shared()
    assert (next(shared()), next(shared())) == (1, 2)


def test_a_profiled_context_manager_is_timed_on_both_sides() -> None:
    @txprof.profile(report=None)
    @contextlib.contextmanager
    def block() -> Iterator[int]:
        number = 1
        yield number
        number += 1

    @txprof.profile(report=None)
    @contextlib.asynccontextmanager
    async def async_block() -> AsyncIterator[int]:
        number = 1
        yield number
        number += 1

    async def enter() -> None:
        with block() as one:
            async with async_block() as other:
                assert one == other == 1
        with pytest.raises(KeyError), block():
            raise KeyError

    asyncio.run(enter())
    (row,) = block.__txprof__.functions  # type: ignore[attr-defined]
    assert (row.calls, [line.hits for line in row.lines.values()]) == (2, [2, 2, 1])
    (row,) = async_block.__txprof__.functions  # type: ignore[attr-defined]
    assert (row.calls, [line.hits for line in row.lines.values()]) == (1, [1, 1, 1])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="line_profiler counts a line at its end")
def test_a_call_that_goes_on_has_the_time_of_its_running_line(fake: FakeClock) -> None:
    go_on = threading.Event()

    def work() -> None:
        go_on.wait()  # waits

    waits = line_of("waits")
    thread = threading.Thread(target=work)
    with txprof.profile(work) as profile:
        thread.start()
        eventually(lambda: waits in profile.functions[0].lines)
        fake.tick(3)
        live = profile.functions[0].lines[waits].seconds
    go_on.set()
    thread.join()
    kept = profile.functions[0].lines[waits].seconds
    assert live == kept == 3
