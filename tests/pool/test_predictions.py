"""`make bench-pool`: that it runs, judges and writes. How good it predicts, it says itself."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from tooling import tool

predictions = tool("pool_predictions")


def test_there_are_twelve_over_the_whole_range() -> None:
    configurations = predictions.CONFIGURATIONS
    assert len(set(configurations)) == 12
    for of, least, most in (("workers", 4, 32), ("pool", 1, 16), ("share", 0.1, 0.9)):
        values = [getattr(one, of) for one in configurations]
        assert (min(values), max(values)) == (least, most)
    assert {one.times for one in configurations} == {
        predictions.exponential,
        predictions.constant,
        predictions.bimodal,
    }


@pytest.mark.parametrize("times", ["exponential", "constant", "bimodal"])
def test_times_have_their_mean(times: str) -> None:
    found = getattr(predictions, times)(0.04)
    assert statistics.mean(found) == pytest.approx(0.04)
    assert min(found) > 0


def test_a_prediction_is_run_and_measured(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    configuration = predictions.Configuration(predictions.constant, 0.5, 2, 1)
    drawn = predictions.recorded(url, predictions.constant, 0.5, 1.0)
    told = predictions.predicted(drawn, configuration)
    with predictions.engine_of(url, 1) as engine:
        seen = predictions.run(engine, configuration, 2, 1.0)
    for outcome in (told, seen):
        # A run cuts cycles at its ends.
        assert 0 < outcome.throughput <= 1.2 * 2 / predictions.CYCLE
    assert predictions.row(configuration, told, seen).startswith("| constant | 50% | 2 | 1 | ")


@pytest.mark.parametrize(
    ("throughput", "wait", "close"),
    [
        (100, 0.1, True),
        (109, 0.1, True),
        (111, 0.1, False),
        (100, 0.119, True),
        (100, 0.121, False),
    ],
)
def test_how_close_is_close(throughput: float, wait: float, close: bool) -> None:
    told = predictions.Outcome(throughput, wait)
    assert predictions.is_close(told, predictions.Outcome(100, 0.1)) is close


def test_waits_of_next_to_nothing_may_be_off_by_two_milliseconds() -> None:
    assert predictions.is_close(predictions.Outcome(100, 0.0), predictions.Outcome(100, 0.0019))
    assert not predictions.is_close(predictions.Outcome(100, 0.0), predictions.Outcome(100, 0.0021))


def test_it_writes_its_table_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "pool.md"
    page.write_text(f"before\n{predictions.BEGIN}\nold\n{predictions.END}\nafter\n")
    monkeypatch.setattr(predictions, "PAGE", page)
    predictions.write("new")
    assert page.read_text() == f"before\n{predictions.BEGIN}\nnew\n{predictions.END}\nafter\n"
    page.write_text("no place for it")
    with pytest.raises(SystemExit, match="the page lacks"):
        predictions.write("new")


def test_the_page_has_a_row_for_each() -> None:
    page = predictions.PAGE.read_text(encoding="utf-8")
    table = page.partition(predictions.BEGIN)[2].partition(predictions.END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    for configuration, row in zip(predictions.CONFIGURATIONS, rows, strict=True):
        head = f"| {configuration.times.__name__} | {configuration.share:.0%} | "
        assert row.startswith(f"{head}{configuration.workers} | {configuration.pool} | ")
        assert row.endswith((" ok |", " OFF |"))
