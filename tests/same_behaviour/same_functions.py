"""A function of each kind, and what an error of theirs looks like from outside."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest


def plain(a: int, b: str = "x", *args: int, c: float = 1.0, **kwargs: Any) -> str:
    """Plain."""
    if a < 0:
        raise ValueError("negative")
    return f"{a}{b}{args}{c}{kwargs}"


async def coroutine(a: int, b: str = "x") -> str:
    """Coroutine."""
    await asyncio.sleep(0)
    if a < 0:
        raise ValueError("negative")
    return f"{a}{b}"


def generator(a: int) -> Iterator[int]:
    """Generator."""
    received = []
    try:
        for number in range(a):
            try:
                received.append((yield number))
            except KeyError as error:
                received.append(error.args[0])
    finally:
        received.append("closed")
    if a > 5:
        raise ValueError("too many")
    return received


async def async_generator(a: int) -> AsyncIterator[int]:
    """Async generator."""
    for number in range(a):
        await asyncio.sleep(0)
        yield number
    if a > 5:
        raise ValueError("too many")


FUNCTIONS = [plain, coroutine, generator, async_generator]

every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


def frames_of(call: Callable[[], Any]) -> tuple[type[BaseException], Any, list[tuple[str, str]]]:
    """The error a call raises, and the frames of its traceback below ours."""
    try:
        call()
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        return type(error), error.args, [(f.filename, f.name) for f in frames][1:]
    raise AssertionError("raised nothing")
