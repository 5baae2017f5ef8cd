"""A function that txprof wraps gives what it gave, however it is driven, cancelled or left."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from same_functions import async_generator, coroutine, generator, plain


def test_results_are_the_same(wrap: Any) -> None:
    assert wrap(plain)(1, "b", 3, c=2.0, d=4) == plain(1, "b", 3, c=2.0, d=4)
    assert asyncio.run(wrap(coroutine)(1)) == asyncio.run(coroutine(1))


def drive(make: Any) -> list[Any]:
    """Everything one can do to a generator."""
    gen = make(4)
    seen: list[Any] = [inspect.isgenerator(gen), gen.__name__, next(gen), gen.send("sent")]
    seen.append(gen.throw(KeyError("thrown")))
    seen.append(next(gen))
    try:
        next(gen)
    except StopIteration as stop:
        seen.append(stop.value)
    closed = make(3)
    next(closed)
    closed.close()
    seen.append(list(make(0)))

    def delegate() -> Any:
        return (yield from make(2))

    outer = delegate()
    seen += [next(outer), next(outer)]
    try:
        next(outer)
    except StopIteration as stop:
        seen.append(stop.value)
    return seen


def test_generators_do_the_same(wrap: Any) -> None:
    expected = drive(generator)
    assert drive(wrap(generator)) == expected


def test_async_generators_do_the_same(wrap: Any) -> None:
    async def consume(make: Any) -> list[Any]:
        first = make(3)
        seen: list[Any] = [inspect.isasyncgen(first), await first.asend(None)]
        await first.aclose()
        return seen + [item async for item in make(3)]

    expected = asyncio.run(consume(async_generator))
    assert asyncio.run(consume(wrap(async_generator))) == expected


def returning() -> Iterator[int]:
    try:
        yield 1
    except GeneratorExit:
        return "closed"  # type: ignore[return-value]


def test_closing_a_generator_returns_the_same(wrap: Any) -> None:
    def close(make: Any) -> Any:
        started = make()
        next(started)
        return started.close()  # from 3.13 on what the generator returns

    assert close(wrap(returning)) == close(returning)


async def cleaning_up() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await asyncio.sleep(0.01)


def test_the_event_loop_closes_an_async_generator_that_is_left(wrap: Any) -> None:
    errors = []
    kept = []

    async def leave(make: Any) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: errors.append(about))
        left = make()
        kept.append(left)
        assert await anext(left) == 1

    asyncio.run(leave(wrap(cleaning_up)))
    assert errors == []


def test_a_context_manager_over_it_catches_exceptions(wrap: Any) -> None:
    manager = contextlib.contextmanager(wrap(guard))
    with manager() as caught:
        raise LookupError("mine")
    assert [type(error) for error in caught] == [LookupError]


def guard() -> Iterator[list[BaseException]]:
    caught: list[BaseException] = []
    try:
        yield caught
    except LookupError as error:
        caught.append(error)


def test_cancellation_passes_through(wrap: Any) -> None:
    wrapped = wrap(sleeper)

    async def main() -> str:
        task = asyncio.create_task(wrapped())
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled" if task.cancelled() else "swallowed"
        return "finished"

    assert asyncio.run(main()) == "cancelled"


def test_a_coroutine_that_never_starts_is_not_said_to_be_never_awaited(wrap: Any) -> None:
    wrapped = wrap(sleeper)

    async def cancelled() -> None:
        task = asyncio.create_task(wrapped())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(cancelled())
        wrapped().close()
    assert not [one for one in warned if "never awaited" in str(one.message)]


def test_one_that_nobody_awaits_is_said_once(wrap: Any) -> None:
    wrapped = wrap(sleeper)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        wrapped()
    said = [str(one.message) for one in warned if "never awaited" in str(one.message)]
    assert said == ["coroutine 'sleeper' was never awaited"]


async def sleeper() -> None:
    await asyncio.sleep(60)
