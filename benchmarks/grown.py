"""Whether anything of txprof's grows: every table that it has, found by looking, and its trend.

No table is named here. What counts is each container that a module of txprof has as a global, each
cache, what the context variables carry, and each container that is an attribute of an object of
txprof's: the sizes of all objects of a class are added up. So is the number of these objects.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

SIZED = (
    *(dict, list, set, tuple, deque),
    *(WeakKeyDictionary, WeakValueDictionary, WeakSet),
)

LEAST = 3
"""A table that grew by fewer entries did not grow: what is under way differs by as many."""

LEAST_BYTES = 2 << 20
SHARE = 0.02
"""Nor did what grew by less than this share of itself."""

BOUNDS = {
    "txprof.collector._Part.cases": ("txprof.collector._Part", 1_024),
    "txprof.distribution.Distribution.buckets": ("txprof.distribution.Distribution", 1_500),
    "txprof.sensors.occupancy.Returns._at": ("txprof.sensors.occupancy.Returns", 257),
}
"""What may fill for hours, with the class and how much each of its objects may have: a duration
that is rare still finds an empty bucket, and tasks that ended are swept out when there are many."""


def resident() -> int:
    """Bytes of this process in memory: now, on Linux; elsewhere the most there ever were."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else size * 1024


def tables(package: str = "txprof") -> Counter[str]:
    """The size of each table of a package, by where it is."""
    found: Counter[str] = Counter()
    for name, module in list(sys.modules.items()):
        if _is_of(name, package) and isinstance(module, ModuleType):
            for attribute, size in _globals(module):
                found[f"{name}.{attribute}"] += size
    for one in gc.get_objects():
        kind = type(one)
        if not _is_of(getattr(kind, "__module__", ""), package):
            continue
        label = f"{kind.__module__}.{kind.__qualname__}"
        found[f"{label} objects"] += 1
        for attribute, value in _attributes(one):
            if isinstance(value, SIZED):
                found[f"{label}.{attribute}"] += len(value)
    return found


def _is_of(name: object, package: str) -> bool:
    return isinstance(name, str) and (name == package or name.startswith(f"{package}."))


def _globals(module: ModuleType) -> Iterator[tuple[str, int]]:
    for name, value in list(vars(module).items()):
        if name.startswith("__"):
            continue
        held = value.get(None) if isinstance(value, ContextVar) else value
        if isinstance(held, SIZED):
            yield name, len(held)
        elif callable(info := getattr(held, "cache_info", None)):
            yield name, info().currsize


def _attributes(one: object) -> Iterator[tuple[str, object]]:
    if isinstance(one, SIZED):  # a named tuple: what it has never grows
        return
    yield from list(getattr(one, "__dict__", {}).items())
    for kind in type(one).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = vars(kind).get(_mangled(kind, name))
            try:
                yield name, member.__get__(one)  # type: ignore[union-attr]
            except AttributeError:  # it has none yet
                continue


def _mangled(kind: type[Any], name: str) -> str:
    if name.startswith("__") and not name.endswith("__"):
        return f"_{kind.__name__.lstrip('_')}{name}"
    return name


@dataclass
class Series:
    """What one number was, over time."""

    least: float
    values: list[float] = field(default_factory=list)

    @property
    def grows(self) -> bool:
        """Whether it is on the rise, by more than noise and bounded work may come to.

        From the second third of the samples to the last (the first is the warm-up) all of it rises,
        its least, its median and its most: what fills and is emptied in turns does not. And it has
        never been as much before.
        """
        third = len(self.values) // 3
        if not third:
            return False
        first, middle, last = (
            self.values[: -2 * third],
            self.values[-2 * third : -third],
            self.values[-third:],
        )
        least = max(self.least, SHARE * abs(self.values[-1]))
        rises = all(of(last) - of(middle) > least for of in (min, statistics.median, max))
        return rises and min(last) > max(first)

    def slope(self, times: list[float]) -> float:
        """By how much it grew a minute, after the warm-up: least squares."""
        start = len(self.values) // 3
        x, y = times[start:], self.values[start:]
        if len(set(x)) < 2:
            return 0.0
        return statistics.linear_regression(x, y).slope * 60


class Watched:
    """Samples of memory, of all tables, and of more that somebody names."""

    def __init__(self, more: Mapping[str, Callable[[], int]] | None = None) -> None:
        self._more = dict(more or {})
        self.times: list[float] = []
        self.series: dict[str, Series] = {}

    def sample(self, seconds: float) -> None:
        """Now, so many seconds after the start, while nothing is under way."""
        gc.collect()
        now: dict[str, float] = {"resident bytes": resident(), **tables()}
        now |= {name: size() for name, size in self._more.items()}
        for name in now.keys() - self.series.keys():  # it was not there before
            least = LEAST_BYTES if name == "resident bytes" else LEAST
            self.series[name] = Series(least, [0.0] * len(self.times))
        for name, series in self.series.items():
            series.values.append(now.get(name, 0.0))
        self.times.append(seconds)

    def verdict(self, name: str) -> str:
        """`flat`, `GROWS`, or `fills` of what grows and has a bound."""
        series = self.series[name]
        if not series.grows:
            return "flat"
        if name in BOUNDS:
            kind, most = BOUNDS[name]
            if series.values[-1] <= most * self.series[f"{kind} objects"].values[-1]:
                return "fills"
        return "GROWS"

    @property
    def growing(self) -> list[str]:
        """What grows without a bound."""
        return [name for name in self.series if self.verdict(name) == "GROWS"]


def open_holds() -> int:
    """Holds that no checkin has ended, as txprof knows them."""
    from txprof.sensors import checkouts

    return max(len(checkouts.holds), sum(len(pool.busy) for pool in checkouts.pools.values()))


def megabytes(size: float) -> str:
    """0.42"""
    return f"{size / 1e6:.2f}"
