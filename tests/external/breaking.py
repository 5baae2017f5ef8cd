"""What stands in the places of targets to break their sensors, and what was noted of that."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

from txprof.sensors import going_on, placing
from txprof.sensors.placing import Target


class Broken(RuntimeError):
    """Of txprof's own, or of a library that changed."""


class Hostile:
    """A library's object that answers nothing it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise Broken(name)

    def __len__(self) -> int:
        raise Broken("len")

    def __eq__(self, other: object) -> bool:
        raise Broken("==")

    def __hash__(self) -> int:
        raise Broken("hash")


def noted(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What gave way, in order: each once, at debug level, or it fails."""
    records = [record for record in caplog.records if record.name == "txprof"]
    assert {record.levelno for record in records} <= {logging.DEBUG}
    found = [
        record.getMessage().removeprefix("txprof: ").partition(" gave way")[0] for record in records
    ]
    assert len(set(found)) == len(found)
    return found


def found_at(target: Target) -> tuple[Any, str]:
    """Owner and name of what a target wraps, imported for the test; skips what is not here."""
    try:
        module = importlib.import_module(target.module)
    except ImportError as error:
        pytest.skip(f"not installed: {error.name}")
    return placing.resolve(module, target.attribute)


def _like(target: Target, **kinds: Any) -> Any:
    """Of these functions, the one of a target's kind."""
    owner, name = found_at(target)
    original = inspect.getattr_static(owner, name)
    nature = inspect.unwrap(getattr(original, "__func__", original))
    if name == "__await__":
        return kinds["steps"]
    if inspect.iscoroutinefunction(nature):
        return kinds["coroutine"]
    if inspect.isasyncgenfunction(nature):
        return kinds["asynchronous_generator"]
    return kinds["generator" if inspect.isgeneratorfunction(nature) else "function"]


def standing(target: Target, what: Callable[[], Any]) -> Any:
    """A function in the place of a target's; it does `what`."""

    def function(*_args: Any, **_kwargs: Any) -> Any:
        return what()

    def generator(*_args: Any, **_kwargs: Any) -> Any:
        yield what()

    async def coroutine(*_args: Any, **_kwargs: Any) -> Any:
        return what()

    async def asynchronous_generator(*_args: Any, **_kwargs: Any) -> Any:
        yield what()

    def steps(*_args: Any, **_kwargs: Any) -> Any:
        return coroutine().__await__()

    return _like(
        target,
        function=function,
        generator=generator,
        coroutine=coroutine,
        asynchronous_generator=asynchronous_generator,
        steps=steps,
    )


def refusing(target: Target) -> Any:
    """The same, that takes no arguments."""

    def function() -> None: ...

    def generator() -> Any:
        yield

    async def coroutine() -> None: ...

    async def asynchronous_generator() -> Any:
        yield

    return _like(
        target,
        function=function,
        generator=generator,
        coroutine=coroutine,
        asynchronous_generator=asynchronous_generator,
        steps=function,
    )


async def _nothing() -> None: ...


_unawaited = _nothing()
TYPE_OF_STEPS = type(_unawaited.__await__())
"""What the `__await__` of a coroutine gives: neither that nor a generator."""
_unawaited.close()


def run(made: Any) -> Any:
    """What a call comes to: awaited, or the one thing that it yields."""

    async def first() -> Any:
        (one,) = [each async for each in made]
        return one

    async def last() -> Any:
        return await going_on.Awaitable(made)

    if type(made) is Hostile:
        return made
    if type(made) is TYPE_OF_STEPS:
        return asyncio.run(last())
    if inspect.iscoroutine(made):
        return asyncio.run(made)
    if inspect.isasyncgen(made):
        return asyncio.run(first())
    return next(iter([*made])) if inspect.isgenerator(made) else made
