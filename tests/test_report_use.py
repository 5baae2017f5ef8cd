"""A pool's use over time, as the HTML report draws it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import rich_recording

from txprof.profiled import PoolMoment, PoolProfile
from txprof.report import use
from txprof.report.use import HEIGHT, WIDTH, stretches


def pool(moments: Sequence[PoolMoment], limit: int | None = 4) -> PoolProfile:
    return PoolProfile(
        "postgresql://db/shop", 4, 9, 1.0, 1.0, 4, 0, 0.0, 0.0, 0, limit, over_time=tuple(moments)
    )


def steady(start: float, count: int, busy: float = 1.0, waiting: float = 0.0) -> list[PoolMoment]:
    return [PoolMoment(start + number, 1.0, busy, 2, waiting) for number in range(count)]


def points(path: str) -> list[tuple[float, float]]:
    """Where the steps of a path lie."""
    x = y = 0.0
    found = []
    for command, first, second in re.findall(r"([MHV])([\d.]+)(?: ([\d.]+))?", path):
        x = float(first) if command in "MH" else x
        y = float(second) if command == "M" else float(first) if command == "V" else y
        found.append((x, y))
    return found


def test_busy_connections_are_an_area_and_who_waits_lies_on_top() -> None:
    (one,) = stretches(pool([*steady(100.0, 3, busy=4.0, waiting=2.0), *steady(103.0, 1)]))
    busy, waiting = points(one.busy), points(one.waiting)
    assert {x for x, _ in busy} == {0, WIDTH / 4, WIDTH / 2, WIDTH * 3 / 4, WIDTH}
    top = min(y for _, y in busy)
    assert max(y for _, y in busy) == HEIGHT
    assert max(y for _, y in waiting) == top == one.limit  # all four are busy
    assert max(x for x, _ in waiting) == WIDTH * 3 / 4
    assert HEIGHT - min(y for _, y in waiting) == pytest.approx((HEIGHT - top) * 6 / 4, abs=0.02)
    assert min(y for _, y in waiting) >= 0


def test_it_is_said_in_words_too() -> None:
    moments = [*steady(0.0, 2), *steady(2.0, 1, busy=4.0, waiting=3.0), *steady(3.0, 1)]
    (one,) = stretches(pool(moments))
    assert one.said == (
        "1.8 connections busy on average, 2 at most of 4; most waited at 2.00 s: 3.0"
    )
    assert one.title == "4.00 s, 4 moments of 1.00 s"
    assert [part.text for part in one.parts][2] == (
        "from 2.00 s for 1.00 s: 4.0 busy, 2 at most, 3.0 waiting"
    )
    assert one.rows[2] == ("2.00 s", "4.0", "2", "3.0")
    (calm,) = stretches(pool(steady(0.0, 2), limit=None))
    assert calm.said == "1.0 connections busy on average, 2 at most; nobody waited"
    assert calm.limit is None


def test_the_axis_breaks_where_nobody_watched_for_long() -> None:
    moments = [*steady(0.0, 20), *steady(26.0, 20), *steady(3_600.0, 20)]
    assert [len(one.parts) for one in stretches(pool(moments))] == [40, 20]


def test_of_many_stretches_the_busiest_are_drawn_in_order_of_time() -> None:
    moments = [one for number in range(8) for one in steady(number * 1e3, 2, busy=number / 2)]
    assert len(stretches(pool(moments))) == 4
    assert [one.said[:3] for one in stretches(pool(moments))] == ["2.0", "2.5", "3.0", "3.5"]


def test_a_table_has_few_rows() -> None:
    (one,) = stretches(pool(steady(0.0, 240)))
    assert len(one.rows) == use._ROWS
    assert one.rows[1] == ("6.00 s", "1.0", "2", "0.0")


def test_a_recording_without_it_has_no_drawing() -> None:
    assert stretches(pool([])) == []
    recorded = rich_recording.recorded()
    assert 'id="use"' in rich_recording.Profile.of(recorded).render("html")
    recorded.pools[0].course.cells.clear()
    assert 'id="use"' not in rich_recording.Profile.of(recorded).render("html")


def test_its_numbers_are_numbers_whatever_the_recording_says() -> None:
    moments = [PoolMoment(1e9, 2**30, 0.0, 0, 0.0), PoolMoment(1e9 + 2**30, 2**30, 1e9, 10**9, 1e9)]
    (one,) = stretches(pool(moments, limit=1))
    assert "nan" not in one.busy + one.waiting + one.peak
    assert "inf" not in one.busy + one.waiting + one.peak
    assert all(0 <= y <= HEIGHT for _, y in points(one.waiting))
