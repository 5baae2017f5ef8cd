"""`txprof pool simulate`: what it says, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import FakeClock
from pool_jobs import Run
from pool_recordings import STORY, pool_of_five, record
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import txprof

Make = Callable[..., Engine]


def rows(told: str) -> list[list[str]]:
    return [line.split() for line in told.splitlines() if line[:7].strip().isdigit()]


def test_pools_of_several_sizes(recording: Path, run: Run) -> None:
    told = run("pool", "simulate", recording, "--workers", 10, "--connections", "1,4-5,10")
    assert "drawn from 40 holds (p50 " in told
    assert "39 pauses between a worker's holds" in " ".join(told.split())
    assert "timeout 30.00s; 20,000 checkouts simulated, seed 0" in told
    found = rows(told)
    assert [row[:2] for row in found] == [["10", "1"], ["10", "4"], ["10", "5"], ["10", "10"]]
    # 10 workers of 1.25 s each ask for 8 connections: below that the pool is the limit.
    assert [round(int(row[2].replace(",", "")), -3) for row in found] == [
        86_000,
        346_000,
        432_000,
        691_000,
    ]
    assert "10 workers need a pool of 8" in told  # constant times fall into step


def test_a_batch_begins_with_everybody_and_ends_with_few(recording: Path, run: Run) -> None:
    told = run("pool", "simulate", recording, "--workers", 8, "--connections", 4, "--batch", 12)
    assert "20,004 checkouts simulated in batches of 12 jobs, seed 0" in " ".join(told.split())
    # Constant times: 12 are three turns of four, 13 are four turns.
    (row,) = rows(told)
    assert int(row[2].replace(",", "")) == pytest.approx(12 / 3 * 86_400, rel=0.01)
    (row,) = rows(
        run("pool", "simulate", recording, "--workers", 8, "--connections", 4, "--batch", 13)
    )
    assert int(row[2].replace(",", "")) == pytest.approx(13 / 4 * 86_400, rel=0.01)


def test_a_recording_of_any_database_will_do(
    url: str, made: Make, fake: FakeClock, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "any.txprof"
    record(pool_of_five(made, url), fake, 40).save(path)
    assert "72% of the time is spent waiting" in run("pool", "plan", path, *STORY)
    told = run("pool", "simulate", path, "--workers", 4, "--connections", 1, "--jobs", 1000)
    assert round(int(rows(told)[0][2].replace(",", "")), -3) == 86_000


def test_a_recording_of_tasks_will_do(
    url_for_tasks: str, fake: FakeClock, tmp_path: Path, run: Run
) -> None:
    async def main() -> None:
        engine = create_async_engine(url_for_tasks, pool_size=5, max_overflow=0)
        with txprof.profile(on_finding="ignore") as prof:
            for _ in range(40):
                async with engine.begin() as connection:
                    await connection.execute(text("SELECT 1"))
                    with txprof.external_call("http", "POST https://llm.example.com/v1/chat"):
                        fake.tick(0.9)
                    fake.tick(0.1)
                fake.tick(0.25)
        await engine.dispose()
        prof.save(path)

    path = tmp_path / "tasks.txprof"
    asyncio.run(main())
    told = run("pool", "simulate", path, "--workers", 4, "--connections", 1, "--jobs", 1000)
    assert round(int(rows(told)[0][2].replace(",", "")), -3) == 86_000


def test_the_same_seed_prints_the_same(recording: Path, run: Run) -> None:
    first, second = (
        run("pool", "simulate", recording, "--seed", 7, "--jobs", 1000) for _ in range(2)
    )
    assert first == second


def test_what_could_move_out_is_listed_and_moved(recording: Path, run: Run) -> None:
    told = run("pool", "simulate", recording, "--workers", 120, "--connections", 5)
    (line,) = [line for line in told.splitlines() if line.startswith("  hoist:")]
    hoist = line.split()[0]
    assert "HTTP POST llm.example.com/v1/chat" in line
    told = run(
        *("pool", "simulate", recording, "--workers", 120, "--connections", 5),
        *("--what-if", hoist),
    )
    before, after = (int(row[2].replace(",", "")) for row in rows(told))
    assert before == pytest.approx(86_400 * 5, rel=0.01)  # one second a hold
    assert after == pytest.approx(86_400 * 50, rel=0.01)  # a tenth of it
    verdict = " ".join(told.splitlines()[-2:])
    assert f"pool of 5: {before:,} a day now, {after:,} with HTTP POST" in verdict
    needed = int(verdict.partition("then need ")[2].split()[0])
    assert 10 <= needed <= 20  # 9.6 are busy on average


def test_those_who_give_up_are_counted(recording: Path, run: Run) -> None:
    told = run(
        *("pool", "simulate", recording, "--workers", 8, "--connections", 1),
        *("--timeout", 0.5),
    )
    assert float(rows(told)[0][6].rstrip("%")) > 50


def test_how_many_workers_there_were_is_measured(recording: Path, run: Run) -> None:
    assert [row[0] for row in rows(run("pool", "simulate", recording))] == ["1", "1"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--workers", "0"), "--workers takes whole numbers from 1 to 10000 and ranges"),
        (("--workers=-3",), "--workers takes whole numbers"),
        (("--connections", "5-2"), "--connections takes whole numbers"),
        (("--connections", "many"), "not 'many'"),
        (("--connections", "1-200"), "at most 64 different numbers, not '1-200'"),
        (("--timeout", "-1"), "--timeout must be 0 seconds or more, not -1.0"),
        (("--timeout", "nan"), "--timeout must be 0 seconds or more, not nan"),
        (("--what-if", "cache:x"), "--what-if takes hoist:FINGERPRINT, not 'cache:x'"),
        (("--what-if", "hoist:abc"), "no finding abc of calls that are made while a connection"),
        (("--engine", "oracle"), "no pool in the recording with 'oracle' in the URL; there are"),
    ],
)
def test_a_simulation_that_cannot_be_made_is_one_line(
    recording: Path, run: Run, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in run("pool", "simulate", recording, *arguments, fails=True)


def test_one_of_several_pools_has_to_be_named(
    tmp_path: Path, made: Make, fake: FakeClock, run: Run
) -> None:
    path = tmp_path / "two.txprof"
    engines = [made(f"sqlite:///{tmp_path / name}.db") for name in ("orders", "audit")]
    with txprof.profile(on_finding="ignore") as prof:
        for engine in engines * 40:
            with engine.connect():
                fake.tick(1)
            fake.tick(1)
    prof.save(path)
    assert "2 pools are in the recording: name one of sqlite:///" in run(
        "pool", "simulate", path, fails=True
    )
    assert run("pool", "simulate", path, "--engine", "audit", "--jobs", 99).startswith(
        "pool sqlite:///"
    )


def test_an_empty_recording_says_so(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "empty.txprof"
    with txprof.profile() as prof:
        pass
    prof.save(path)
    assert "no connection pool is in the recording" in run("pool", "simulate", path, fails=True)


def test_plain_terminals_get_plain_signs(
    recording: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert run("pool", "simulate", recording).isascii()
    assert run("pool", "plan", recording, *STORY).isascii()
