"""Small pools, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers import FakeClock
from sqlalchemy import Engine


@pytest.fixture
def patience() -> None:
    """Here the thresholds of the rules about time are their own."""


@pytest.fixture
def time(fake: FakeClock) -> FakeClock:
    """What txprof takes for the time."""
    return fake


@pytest.fixture
def make_small(make_engine: Callable[..., Engine]) -> Callable[..., Engine]:
    """Engines with a pool of a few connections."""

    def make(size: int = 1, timeout: float = 30, **options: object) -> Engine:
        return make_engine(pool_size=size, max_overflow=0, pool_timeout=timeout, **options)

    return make


@pytest.fixture
def small(make_small: Callable[..., Engine]) -> Engine:
    """A pool of one."""
    return make_small()
