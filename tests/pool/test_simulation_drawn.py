"""The picture of a simulated pool: of its own, and in the HTML report."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
import rich_recording
from helpers import FakeClock
from pool_jobs import Run
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

import txprof
from txprof.cli import main
from txprof.pool.whatif import WhatIf, compare
from txprof.report.sizes import LABEL, drawings, svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def prof(tmp_path: Path, fake: FakeClock) -> txprof.Profile:
    """Holds of 1 s, most of it in a call, and pauses of 0.25 s."""
    source = random.Random(1)
    engine = create_engine(
        f"sqlite:///{tmp_path / 'a<b>.db'}", poolclass=QueuePool, pool_size=5, max_overflow=0
    )
    with txprof.profile(on_finding="ignore") as prof:
        for _ in range(40):
            with engine.begin() as connection:
                connection.execute(text("SELECT 1"))
                with txprof.external_call("http", "POST https://llm.example.com/<script>\x1b"):
                    fake.tick(source.uniform(0.5, 1.3))
                fake.tick(0.1)
            fake.tick(source.uniform(0.1, 0.4))
    engine.dispose()
    return prof


def simulated(prof: txprof.Profile) -> WhatIf:
    return compare(prof, workers=[4, 12], connections=[1, 2, 5], hoisted=None, jobs=1_000)


def test_a_bar_is_as_long_as_what_gets_done(prof: txprof.Profile) -> None:
    found = simulated(prof)
    few, many = drawings(found)
    assert few.title == "4 workers on pools of 1 to 5 connections"
    assert [size.connections for size in many.sizes] == [1, 2, 5]
    assert [size.recorded for size in many.sizes] == [False, False, True]
    assert found.without is not None
    largest = max(run.throughput for run in found.without.runs)
    widths = [bar.width for size in many.sizes for bar in size.bars if bar.kind == "k-hold"]
    expected = [run.throughput for run in found.now.runs if run.workers == 12]
    assert widths == pytest.approx([done / largest * (100 - LABEL) for done in expected], abs=0.01)
    bars = [bar for one in (few, many) for size in one.sizes for bar in size.bars]
    assert max(bar.width for bar in bars) == pytest.approx(100 - LABEL, abs=0.01)
    assert "/day · wait p95 " in bars[0].text


def test_bars_lie_below_each_other(prof: txprof.Profile) -> None:
    drawn = drawings(simulated(prof))
    for one in drawn:
        heights = [bar.y for size in one.sizes for bar in size.bars]
        assert all(after - before >= 25 for before, after in pairwise(heights))
        assert heights[-1] < one.height
    assert drawn[1].y >= drawn[0].height


def test_the_picture_is_xml_that_says_what_it_shows_and_runs_nothing(prof: txprof.Profile) -> None:
    drawn = svg(simulated(prof))
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    assert prof.pools[0].engine in (root.findtext(f"{SVG}title") or "")
    assert "12 workers on pools of 1 to 5 connections: a pool of" in (
        root.findtext(f"{SVG}desc") or ""
    )
    assert {each.tag.removeprefix(SVG) for each in root.iter()} == {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "text",
    }
    texts = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert any("llm.example.com/<script>�" in one for one in texts)
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "").replace("HTTP", "")


def test_the_command_writes_it_beside_the_table(
    prof: txprof.Profile, tmp_path: Path, run: Run
) -> None:
    prof.save(tmp_path / "jobs.txprof")
    picture = tmp_path / "sizes.svg"
    told = run("pool", "simulate", tmp_path / "jobs.txprof", "--workers", 4, "--svg", picture)
    assert "workers  pool" in told
    assert ElementTree.parse(picture).getroot().get("role") == "img"
    missing = tmp_path / "none" / "sizes.svg"
    told = run(
        "pool", "simulate", tmp_path / "jobs.txprof", "--workers", 4, "--svg", missing, fails=True
    )
    assert "sizes.svg: cannot be written: No such file" in told


def test_the_html_report_has_it_when_it_is_asked_for(
    prof: txprof.Profile, tmp_path: Path, run: Run
) -> None:
    prof.save(tmp_path / "jobs.txprof")
    page, plain = tmp_path / "simulated.html", tmp_path / "plain.html"
    run("report", tmp_path / "jobs.txprof", "--format", "html", "-o", plain)
    run("report", tmp_path / "jobs.txprof", "--format", "html", "--simulate", "-o", page)
    assert 'id="simulated"' not in plain.read_text(encoding="utf-8")
    shown = page.read_text(encoding="utf-8")
    assert '<svg class="sizes"' in shown
    assert "1 worker on pools of 1 to 5 connections" in shown
    assert "drawn from 40 holds" in shown
    assert "llm.example.com/<script>" not in shown


def test_it_says_why_there_is_nothing_to_simulate() -> None:
    shown = rich_recording.profile().render("html", simulate=True)
    assert "no hold of a connection of" in shown
    assert '<svg class="sizes"' not in shown


def test_other_formats_are_for_another_command(
    prof: txprof.Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prof.save(tmp_path / "jobs.txprof")
    assert main(["report", str(tmp_path / "jobs.txprof"), "--simulate"]) == 2
    assert "--simulate is for --format html" in capsys.readouterr().err


def test_a_pool_is_meant_whose_name_begins_anothers(prof: txprof.Profile) -> None:
    from dataclasses import replace

    recorded = prof.recorded
    (pool,) = recorded.pools
    recorded.pools.append(replace(pool.copy(), engine=pool.engine + "2"))
    assert compare(prof, engine=pool.engine, hoisted=None, jobs=100).work.pool.engine == pool.engine
