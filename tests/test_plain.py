"""What the dataclasses of ours share looks and errs like what `dataclasses` compiles."""

from __future__ import annotations

import pytest

from txprof.recorded import Load, TransactionRow


def row(*more: object, **named: object) -> TransactionRow:
    return TransactionRow((), "sqlite://", (), *more, **named)  # type: ignore[arg-type]


def test_values_are_taken_by_place_and_by_name() -> None:
    assert row(None, "why", 2) == row(inspected=None, allowed="why", count=2)
    assert row().count == 0
    assert row() != Load()
    assert repr(row()).startswith("TransactionRow(opened=(), engine='sqlite://', locks=(), ")


def test_one_too_few_or_too_many_is_an_error() -> None:
    with pytest.raises(TypeError, match="misses 'engine'"):
        TransactionRow(())  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no 'colour'"):
        row(colour="red")
    with pytest.raises(TypeError, match=r"takes at most \d+ values"):
        row(*range(20))
