"""Quantiles within 1 %, and merging that does not mind the order."""

from __future__ import annotations

import itertools
import math

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from txprof import recording
from txprof.course import COARSEST, FINEST, MOST, Course
from txprof.distribution import ACCURACY, LONGEST, SMALLEST, Distribution
from txprof.pooled import HoldRow, PoolRow
from txprof.recorded import Recorded

durations = st.floats(SMALLEST, 1e5)
shares = st.floats(0, 1)


def of(*values: float) -> Distribution:
    found = Distribution()
    for value in values:
        found.note(value)
    return found


@given(st.lists(durations, min_size=1, max_size=60), shares)
def test_a_quantile_is_within_one_percent(values: list[float], share: float) -> None:
    exact = sorted(values)[math.floor(share * (len(values) - 1))]
    found = of(*values).quantile(share)
    assert found == pytest.approx(exact, rel=ACCURACY * 1.001)


@given(st.lists(durations, min_size=1, max_size=60), shares)
def test_quantiles_are_those_of_ddsketch(values: list[float], share: float) -> None:
    reference = DDSketch(ACCURACY)
    for value in values:
        reference.add(value)
    found = of(*values)
    assert found.quantile(share) == pytest.approx(
        reference.get_quantile_value(share), rel=2.1 * ACCURACY
    )
    assert (found.count, found.seconds) == (reference.count, pytest.approx(reference.sum))


@given(st.lists(st.lists(durations, max_size=8), min_size=1, max_size=3))
def test_merged_is_as_if_all_were_noted_in_one(parts: list[list[float]]) -> None:
    whole = of(*itertools.chain(*parts))
    merged = Distribution()
    for part in parts:
        merged = merged.plus(of(*part))
    assert merged.buckets == whole.buckets
    assert (merged.count, merged.longest) == (whole.count, whole.longest)


def test_nothing_has_no_quantiles() -> None:
    assert Distribution().quantile(0.5) is None
    assert Distribution().mean is None


def test_a_share_is_a_share() -> None:
    with pytest.raises(ValueError, match="a share is a number from 0 to 1, not 95"):
        of(1.0).quantile(95)


def test_buckets_are_bounded_whatever_is_noted() -> None:
    found = of(0.0, 1e-300, -1.0, 1e300, *(10**power for power in range(-9, 12)))
    assert found.count == 25
    assert min(found.buckets) == min(of(SMALLEST).buckets)
    assert max(found.buckets) == max(of(LONGEST).buckets)
    assert max(found.buckets) - min(found.buckets) <= 1_500


def test_the_largest_is_exact() -> None:
    assert of(1.0, 2.0, 3.0).quantile(1) == 3.0
    assert of(3.0).quantile(0.5) == pytest.approx(3.0, rel=ACCURACY)


counts = st.integers(0, 9)
distributions = st.lists(st.integers(1, 9).map(float), max_size=4).map(lambda values: of(*values))
moments = st.tuples(st.integers(0, 5_000), st.integers(0, 600), st.integers(0, 3), st.booleans())


def course_of(noted: list[tuple[int, int, int, bool]]) -> Course:
    """Times are whole milliseconds of a binary clock: their sums are exact."""
    course = Course()
    for start, length, busy, waits in noted:
        if waits:
            course.note_wait(start / 1024, (start + length) / 1024)
        else:
            course.note(start / 1024, (start + length) / 1024, busy)
    return course


courses = st.lists(moments, max_size=6).map(course_of)
pools = st.builds(
    PoolRow,
    st.sampled_from(["e", "f"]),
    limit=st.none() | counts,
    checkout_timeout=st.none() | counts.map(float),
    busy=st.dictionaries(st.integers(0, 3), counts.map(float)),
    thought=distributions,
    course=courses,
)
holds = st.builds(
    HoldRow,
    st.sampled_from(["e", "f"]),
    st.none(),
    held=distributions,
    waited=distributions,
    statement_seconds=counts.map(float),
    external_seconds=counts.map(float),
)
recordings = st.builds(
    Recorded,
    st.just(["run"]),
    st.just(0.0),
    st.just(1.0),
    pools=st.lists(pools, max_size=2, unique_by=PoolRow.key),
    holds=st.lists(holds, max_size=2, unique_by=HoldRow.key),
)


def canonical(recorded: Recorded) -> object:
    def plain(row: object) -> str:
        return repr(row)

    return sorted(map(plain, recorded.pools)), sorted(map(plain, recorded.holds))


@given(st.lists(recordings, min_size=1, max_size=3))
def test_pools_merge_in_any_order_and_nothing_merged_is_changed(parts: list[Recorded]) -> None:
    before = [repr(part) for part in parts]
    expected = canonical(recording.merge(parts))
    for order in itertools.permutations(parts):
        assert canonical(recording.merge(order)) == expected
    if parts[1:]:
        nested = recording.merge([parts[0], recording.merge(parts[1:])])
        assert canonical(nested) == expected
    assert [repr(part) for part in parts] == before


@given(st.lists(moments, max_size=12), st.integers(0, 12))
def test_a_course_is_the_same_however_it_was_come_by(
    noted: list[tuple[int, int, int, bool]], at: int
) -> None:
    whole = course_of(noted).plus(Course())
    assert course_of(noted[:at]).plus(course_of(noted[at:])) == whole
    assert len(whole.cells) <= MOST
    busy = sum(length * level for _, length, level, waits in noted if not waits)
    assert sum(cell.busy for cell in whole.cells.values()) == busy / 1024
    waited = sum(length for _, length, _, waits in noted if waits)
    assert sum(cell.waiting for cell in whole.cells.values()) == waited / 1024


def test_a_course_of_hours_has_as_few_cells_as_one_of_seconds() -> None:
    course = Course()
    for second in range(20_000):
        course.note(1e9 + second, 1e9 + second + 1, second % 3)
    assert MOST / 2 <= len(course.cells) <= MOST
    assert course.exponent > FINEST
    assert {cell.peak for cell in course.cells.values()} == {2}


def test_a_clock_that_was_set_wrong_ends_somewhere() -> None:
    course = Course()
    course.note(0.0, 1e300, 1)
    assert course.exponent == COARSEST
