"""`make bench-pool`: that it runs, judges and writes. How good it predicts, it says itself."""

from __future__ import annotations

import importlib.util
import statistics
from pathlib import Path
from types import ModuleType

import pytest

import txprof

ROOT = Path(txprof.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    import sys

    name = "txprof_tools_pool_predictions"
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / "pool_predictions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_there_are_twelve_over_the_whole_range(tool: ModuleType) -> None:
    configurations = tool.CONFIGURATIONS
    assert len(set(configurations)) == 12
    for of, least, most in (("workers", 4, 32), ("pool", 1, 16), ("share", 0.1, 0.9)):
        values = [getattr(one, of) for one in configurations]
        assert (min(values), max(values)) == (least, most)
    assert {one.times for one in configurations} == {
        tool.exponential,
        tool.constant,
        tool.bimodal,
    }


@pytest.mark.parametrize("times", ["exponential", "constant", "bimodal"])
def test_times_have_their_mean(tool: ModuleType, times: str) -> None:
    found = getattr(tool, times)(0.04)
    assert statistics.mean(found) == pytest.approx(0.04)
    assert min(found) > 0


def test_a_prediction_is_run_and_measured(tool: ModuleType, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    configuration = tool.Configuration(tool.constant, 0.5, 2, 1)
    drawn = tool.recorded(url, tool.constant, 0.5, 1.0)
    told = tool.predicted(drawn, configuration)
    with tool.engine_of(url, 1) as engine:
        seen = tool.run(engine, configuration, 2, 1.0)
    for outcome in (told, seen):
        assert 0 < outcome.throughput <= 1.2 * 2 / tool.CYCLE  # a run cuts cycles at its ends
        assert outcome.wait >= 0
    assert tool.row(configuration, told, seen).startswith("| constant | 50% | 2 | 1 | ")


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
def test_how_close_is_close(tool: ModuleType, throughput: float, wait: float, close: bool) -> None:
    assert tool.is_close(tool.Outcome(throughput, wait), tool.Outcome(100, 0.1)) is close


def test_waits_of_next_to_nothing_may_be_off_by_two_milliseconds(tool: ModuleType) -> None:
    assert tool.is_close(tool.Outcome(100, 0.0), tool.Outcome(100, 0.0019))
    assert not tool.is_close(tool.Outcome(100, 0.0), tool.Outcome(100, 0.0021))


def test_it_writes_its_table_and_nothing_else(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "pool.md"
    page.write_text(f"before\n{tool.BEGIN}\nold\n{tool.END}\nafter\n")
    monkeypatch.setattr(tool, "PAGE", page)
    tool.write("new")
    assert page.read_text() == f"before\n{tool.BEGIN}\nnew\n{tool.END}\nafter\n"
    page.write_text("no place for it")
    with pytest.raises(SystemExit, match="are missing"):
        tool.write("new")


def test_the_page_has_a_row_for_each(tool: ModuleType) -> None:
    page = (ROOT / "docs" / "pool.md").read_text(encoding="utf-8")
    table = page.partition(tool.BEGIN)[2].partition(tool.END)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    for configuration, row in zip(tool.CONFIGURATIONS, rows, strict=True):
        head = f"| {configuration.times.__name__} | {configuration.share:.0%} | "
        assert row.startswith(f"{head}{configuration.workers} | {configuration.pool} | ")
        assert row.endswith((" ok |", " OFF |"))
