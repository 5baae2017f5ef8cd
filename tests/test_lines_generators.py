"""Generators of either kind are timed step by step, and do what they did."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
from helpers import FakeClock, line_of, lines_of

import txprof


def test_yield_from_passes_values_exceptions_and_the_result_through(fake: FakeClock) -> None:
    said: list[object] = []

    def inner() -> Generator[int, str, str]:
        try:
            said.append((yield 1))
        except KeyError:
            said.append("caught")
        fake.tick(1)  # work
        yield 2
        return "result"

    def delegates() -> Generator[int, str, str]:
        fake.tick(1)
        result = yield from inner()  # from
        return result + "!"

    with txprof.profile(inner, delegates) as prof:
        generator = delegates()
        assert next(generator) == 1
        fake.tick(100)
        assert generator.send("sent") == 2
        fake.tick(100)
        with pytest.raises(StopIteration) as stopped:
            next(generator)
    assert stopped.value.value == "result!"
    assert said == ["sent"]
    assert lines_of(prof, "inner")[line_of("work")].seconds == 1
    # The consumer's 200 s are nobody's; the inner generator's 1 s is part of the line that waits.
    assert lines_of(prof, "delegates")[line_of("from")].seconds == 1
    assert sum(function.seconds for function in prof.functions) == 3


def test_an_exception_thrown_in_reaches_the_innermost_generator(fake: FakeClock) -> None:
    def inner() -> Iterator[int]:
        try:
            yield 1
        except KeyError:
            fake.tick(1)  # caught
            yield 2

    def delegates() -> Iterator[int]:
        yield from inner()

    with txprof.profile(inner, delegates) as prof:
        generator: Any = delegates()
        assert next(generator) == 1
        fake.tick(100)
        assert generator.throw(KeyError) == 2
        assert list(generator) == []
    assert lines_of(prof, "inner")[line_of("caught")].seconds == 1
    assert [function.calls for function in prof.functions] == [1, 1]


def test_a_generator_gets_what_is_sent_and_is_closed(fake: FakeClock) -> None:
    said: list[object] = []

    def consumer() -> Iterator[None]:
        try:
            while True:
                value = yield
                said.append(value)  # got
                fake.tick(2)
        finally:
            fake.tick(3)  # closing
            said.append("closed")

    with txprof.profile(consumer) as prof:
        generator: Any = consumer()
        next(generator)
        for value in "ab":
            generator.send(value)
            fake.tick(100)
        generator.close()
    assert said == ["a", "b", "closed"]
    lines = lines_of(prof, "consumer")
    assert lines[line_of("got")].hits == 2
    assert lines[line_of("closing")].seconds == 3
    assert prof.functions[0].seconds == 7


def test_a_generator_that_ignores_its_closing_raises_as_before() -> None:
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    with txprof.profile(stubborn):
        generator: Any = stubborn()
        next(generator)
        with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
            generator.close()


def test_an_async_context_manager_is_timed_on_both_sides(fake: FakeClock) -> None:
    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[int]:
        fake.tick(1)  # before
        try:
            yield 5
        except KeyError:
            fake.tick(2)  # caught
        finally:
            await asyncio.sleep(0)
            fake.tick(3)  # after

    async def main() -> None:
        async with opened() as number:
            assert number == 5
            fake.tick(100)
            raise KeyError

    with txprof.profile(opened) as prof:
        asyncio.run(main())
    lines = lines_of(prof, "opened")
    assert lines[line_of("before")].seconds == 1
    assert lines[line_of("caught")].seconds == 2
    assert lines[line_of("after")].seconds == 3
    assert prof.functions[0].seconds == 6


def test_an_async_generator_gets_what_is_sent_thrown_and_closed(fake: FakeClock) -> None:
    said: list[object] = []

    async def numbers() -> Any:
        try:
            said.append((yield 1))
            fake.tick(1)  # first
            yield 2
        except KeyError:
            fake.tick(2)  # caught
            yield 3
        finally:
            said.append("closed")

    async def main() -> None:
        generator = numbers()
        assert await generator.asend(None) == 1
        fake.tick(100)
        assert await generator.asend("sent") == 2
        assert await generator.athrow(KeyError) == 3
        fake.tick(100)
        await generator.aclose()

    with txprof.profile(numbers) as prof:
        asyncio.run(main())
    assert said == ["sent", "closed"]
    lines = lines_of(prof, "numbers")
    assert lines[line_of("first")].seconds == 1
    assert lines[line_of("caught")].seconds == 2
    assert prof.functions[0].seconds == 3


def test_recursion_through_a_generator_counts_every_step(fake: FakeClock) -> None:
    def walk(depth: int) -> Iterator[int]:
        fake.tick(1)
        yield depth
        if depth:
            yield from walk(depth - 1)

    with txprof.profile(walk) as prof:
        assert list(walk(3)) == [3, 2, 1, 0]
    (function,) = prof.functions
    assert function.calls == 4
    first = function.site.line
    assert function.lines[first + 1].hits == 4
    assert function.lines[first + 1].seconds == 4


@pytest.mark.parametrize("kind", ["yield", "yield from", "await", "await in a call"])
def test_an_exception_thrown_in_is_no_second_hit(kind: str) -> None:
    def plain() -> Iterator[int]:
        yield 1

    def delegating() -> Iterator[int]:
        yield from plain()

    async def awaiting() -> None:
        await asyncio.sleep(3600)

    async def calling() -> list[None]:
        return [await asyncio.wait_for(awaiting(), 0.001)]

    target: Any = {"yield": plain, "yield from": delegating}.get(
        kind, calling if kind == "await in a call" else awaiting
    )
    with txprof.profile(target) as prof:
        if "yield" in kind:
            generator = target()
            next(generator)
            with pytest.raises(KeyError):
                generator.throw(KeyError)
        else:
            with pytest.raises(TimeoutError):
                asyncio.run(asyncio.wait_for(target(), 0.05 if kind == "await" else 5))
    (function,) = prof.functions
    assert [line.hits for line in function.lines.values()] == [1]


# What is never finished


@pytest.mark.parametrize("kind", ["generator", "coroutine", "async generator"])
def test_what_is_dropped_halfway_is_not_kept_alive(kind: str) -> None:
    class Held:
        pass

    def generator(held: Held) -> Iterator[int]:
        yield 1
        yield 2

    async def coroutine(held: Held) -> None:
        await asyncio.sleep(3600)

    async def async_generator(held: Held) -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> weakref.ref[Held]:
        held = Held()
        if kind == "generator":
            next(iter(generator(held)))
        elif kind == "coroutine":
            task = asyncio.create_task(coroutine(held))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            async for _ in async_generator(held):
                break
        return weakref.ref(held)

    with txprof.profile(generator, coroutine, async_generator):
        reference = asyncio.run(main())
        gc.collect()
        assert reference() is None
