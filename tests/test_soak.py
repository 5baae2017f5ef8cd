"""The soak: what grows is told from what does not, and a table that leaks is found unnamed."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [*sys.path, str(BENCHMARKS)])
    import grown  # type: ignore[import-not-found, unused-ignore]

    return grown


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One that has a table of each kind."""
    module = ModuleType("leaky.part")
    code = """
class Plain:
    def __init__(self):
        self.rows = {1: 1, 2: 2}

class Slotted(Plain):
    __slots__ = ("__hidden", "kept", "none_yet")

    def __init__(self):
        super().__init__()
        self.kept = [1, 2, 3]
        self.__hidden = [1]
"""
    exec(code, vars(module))
    module.queue = deque([1, 2, 3, 4])
    module.carried = ContextVar("carried")
    module.empty = ContextVar("empty", default=(1, 2))

    @lru_cache
    def remembered(number: int) -> int:
        return number

    remembered(1)
    module.remembered = remembered
    module.number = 5
    monkeypatch.setitem(sys.modules, "leaky.part", module)
    return module


def test_tables_are_found_in_globals_caches_and_contexts(grown, package) -> None:
    token = package.carried.set((1, 2))
    found = grown.tables("leaky")
    package.carried.reset(token)
    assert dict(found) == {
        "leaky.part.queue": 4,
        "leaky.part.carried": 2,
        "leaky.part.remembered": 1,
    }


def test_those_of_all_objects_of_a_class_are_added_up(grown, package) -> None:
    objects = [package.Slotted(), package.Slotted()]
    found = grown.tables("leaky")
    assert found["leaky.part.Slotted objects"] == len(objects)
    assert found["leaky.part.Slotted.rows"] == 4
    assert found["leaky.part.Slotted.kept"] == 6
    assert found["leaky.part.Slotted.__hidden"] == 2
    assert "leaky.part.Slotted.none_yet" not in found


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([100.0] * 9, False),
        ([0.0, 50.0, 100.0, *[100.0] * 6], False),  # a warm-up
        ([100.0, 90.0, 110.0, 95.0, 105.0, 100.0, 110.0, 90.0, 102.0], False),
        ([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0], True),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], False),  # no more than 3
        ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0], True),
        ([1e6 + step for step in range(0, 90, 10)], False),  # no more than 2 %
        ([9.0, 30.0, 60.0, 9.0, 30.0, 60.0, 20.0, 40.0, 60.0], False),  # filled and emptied
        ([95.0, 60.0, 91.0, 40.0, 45.0, 50.0, 70.0, 75.0, 78.0], False),  # as much as before
        ([1.0, 100.0], False),  # too few to tell
    ],
)
def test_what_grows_is_more_in_the_last_third_than_in_the_second(
    grown, values: list[float], grows: bool
) -> None:
    assert grown.Series(grown.LEAST, values).grows is grows


def test_the_slope_is_that_after_the_warm_up(grown) -> None:
    series = grown.Series(grown.LEAST, [0.0, 500.0, 500.0, 502.0, 504.0, 506.0])
    assert series.slope([0.0, 10.0, 20.0, 30.0, 40.0, 50.0]) == pytest.approx(12.0)


def test_what_has_a_bound_fills_until_it_is_beyond_it(grown) -> None:
    (name, (kind, most)), *_ = grown.BOUNDS.items()
    steps = [float(step) for step in range(100, 1_000, 100)]
    watched = grown.Watched()
    watched.series = {
        name: grown.Series(grown.LEAST, steps),
        f"{kind} objects": grown.Series(grown.LEAST, [1.0] * len(steps)),
    }
    assert watched.verdict(name) == "fills"
    assert watched.growing == []
    watched.series[name].values = [step * most for step in steps]
    assert watched.verdict(name) == "GROWS"
    assert watched.growing == [name]


def test_a_table_that_appears_later_was_empty_before(grown) -> None:
    sizes = {"first": 1}
    watched = grown.Watched({"named": lambda: sizes["first"]})
    watched.sample(0.0)
    watched._more["later"] = lambda: 7
    watched.sample(1.0)
    assert watched.series["named"].values == [1, 1]
    assert watched.series["later"].values == [0, 7]
    assert watched.series["resident bytes"].values[0] > 0


def test_both_stories_run_and_a_table_that_leaks_is_found() -> None:
    """A few small rounds: how long they take is nothing to this test."""
    done = subprocess.run(
        [
            *(sys.executable, str(BENCHMARKS / "soak.py"), "--leak"),
            *("--minutes", "0.001", "--products", "3", "--llm-seconds", "0"),
        ],
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if "samples (CPython" in line] == [
        *("threads", "tasks")
    ]
    leaks = [line.split() for line in lines if line.startswith("txprof.sensors.external.leaked ")]
    assert [leak[-1] for leak in leaks] == ["GROWS", "GROWS"]
    assert lines.count("leaked connections: 0; holds left between rounds: 0") == 2
    assert sum(line.startswith("NOT STEADY: ") for line in lines) == 2


@pytest.mark.parametrize("minutes", ["0", "-1", "inf", "nan"])
def test_a_time_that_is_none_is_refused(minutes: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "soak.py"), "--minutes", minutes],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "--minutes must be more than 0" in done.stderr
