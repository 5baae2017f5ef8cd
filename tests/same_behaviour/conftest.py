"""The ways in which txprof wraps a function, under a profile that watches."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import txprof


@pytest.fixture(params=["profile", "allow", "watch"])
def wrap(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """profile, allow or watch, as a function that wraps; undone when the test ends."""
    if request.param == "profile":
        yield txprof.profile(report=None)
    elif request.param == "allow":
        yield txprof.allow("io-in-transaction", reason="test")
    else:
        with contextlib.ExitStack() as stack:

            def watch(function: Any) -> Any:
                stack.enter_context(txprof.watch(function, kind="rpc"))
                return functools.reduce(
                    getattr, function.__qualname__.split("."), inspect.getmodule(function)
                )

            yield watch


@pytest.fixture(autouse=True)
def watching() -> Iterator[None]:
    """A profile of each test."""
    with txprof.profile(on_finding="ignore"):
        yield
