"""Which transactions are kept whole, in how much memory, and how they are saved and merged."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock, call, exemplar_of, line_of, statements_of
from sqlalchemy import Engine, text

import txprof
from txprof import context
from txprof.sensors import exemplars


def spend(engine: Engine, fake: FakeClock, seconds: float) -> None:
    """A transaction of so many seconds."""
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        fake.tick(seconds)


# --- which are kept -------------------------------------------------------------------------------


def test_the_slowest_are_kept(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile(on_finding="ignore", exemplars=3) as prof:
        for seconds in (1, 5, 2, 4, 3, 0, 6):
            spend(engine, fake, seconds)
    assert [found.seconds for found in prof.exemplars] == [6, 5, 4]


def test_none_are_kept_at_0(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile(on_finding="ignore", exemplars=0) as prof:
        spend(engine, fake, 5)
    assert prof.exemplars == ()
    assert prof.recorded.exemplars_kept is None


def test_whatever_the_threads_the_slowest_are_kept(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=4)
    lasted: list[float] = []

    def work(_number: int) -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))

    keep = exemplars._keep

    def noted(hold: Any, transaction: Any, outcome: str, until: float, *rest: Any) -> None:
        lasted.append(until - transaction.since)
        keep(hold, transaction, outcome, until, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exemplars, "_keep", noted)
        with txprof.profile(exemplars=7) as prof, ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(200)))
    assert len(lasted) == 200
    assert [found.seconds for found in prof.exemplars] == sorted(lasted, reverse=True)[:7]


def test_nobody_watching_keeps_nothing(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof:
        pass
    spend(engine, fake, 5)
    assert prof.exemplars == ()


def test_texts_that_are_counted_as_one_keep_text_and_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txprof.entries.COMPACTED", 5)
    with txprof.profile() as prof, engine.begin() as connection:
        for number in range(12):
            connection.exec_driver_sql(f"SELECT {number}")  # send
    found = exemplar_of(prof)
    assert statements_of(found) == [f"SELECT {number}" for number in range(12)]
    assert {s.site and s.site.line for s in found.statements} == {line_of("send")}


def test_a_profile_that_runs_shows_those_so_far(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        connection = engine.connect()
        with connection.begin():
            connection.execute(text("SELECT 1"))
            fake.tick(1)
        assert exemplar_of(prof).hold_end is None
        fake.tick(1)
        connection.close()
        assert exemplar_of(prof).hold_end == 2


def test_memory_is_bounded_by_what_is_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "EVENTS", 10)
    monkeypatch.setattr(context, "RAN", 50)

    def kept() -> int:
        rows = prof.recorded.exemplars
        return sum(len(row.statements) + len(row.external_calls) for row in rows)

    def transactions() -> int:
        gc.collect()
        return sum(isinstance(each, context.Transaction) for each in gc.get_objects())

    before = transactions()
    with txprof.profile(on_finding="ignore", exemplars=3) as prof:
        for _ in range(20):
            with engine.begin() as connection:
                for _ in range(25):
                    connection.execute(text("SELECT 1"))
                    call()
        assert transactions() <= before
    assert len(prof.exemplars) == 3
    assert kept() == 3 * 20
    assert {found.dropped for found in prof.exemplars} == {30}


# --- saved ----------------------------------------------------------------------------------------


@pytest.fixture
def saved(engine: Engine, fake: FakeClock, tmp_path: Path) -> tuple[txprof.Profile, Path]:
    with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
        for _ in range(50):
            connection.execute(text("SELECT 1"))
            call()
            fake.tick(0.001)
    path = tmp_path / "run.txprof"
    prof.save(path)
    return prof, path


def test_they_come_back_as_they_were(saved: tuple[txprof.Profile, Path]) -> None:
    prof, path = saved
    loaded = txprof.load(path)
    assert loaded.exemplars == prof.exemplars
    assert len(exemplar_of(loaded).statements) == 50


def test_texts_and_paths_are_saved_once_relative_to_the_project(
    saved: tuple[txprof.Profile, Path],
) -> None:
    document = json.loads(saved[1].read_text())
    (row,) = document["recording"]["exemplars"]
    assert row["texts"] == ["SELECT 1", "billing"]
    assert [path[0][0] for path in row["paths"]] == [
        "tests/test_exemplars_kept.py",
        "tests/helpers.py",
    ]


def test_a_recording_without_any_still_loads(saved: tuple[txprof.Profile, Path]) -> None:
    prof, path = saved
    document = json.loads(path.read_text())
    del document["recording"]["exemplars"], document["recording"]["exemplars_kept"]
    path.write_text(json.dumps(document))
    old = txprof.load(path)
    assert old.exemplars == ()
    assert txprof.merge(old, prof).exemplars == prof.exemplars


def test_merging_keeps_as_many_as_the_one_that_kept_the_fewest(
    engine: Engine, fake: FakeClock
) -> None:
    profiles = []
    for kept, times in ((2, (1, 5, 3)), (3, (4, 2, 0))):
        with txprof.profile(on_finding="ignore", exemplars=kept) as prof:
            for seconds in times:
                spend(engine, fake, seconds)
        profiles.append(prof)
    merged = txprof.merge(*profiles)
    assert [found.seconds for found in merged.exemplars] == [5, 4]


def test_to_dict_is_json(saved: tuple[txprof.Profile, Path]) -> None:
    (found,) = json.loads(json.dumps(saved[0].to_dict()))["exemplars"]
    statement = found["statements"][0]
    assert statement["statement"] == "SELECT 1"
    assert statement["path"][0]["function"] == "saved"
    assert found["external_calls"][0]["target"] == "billing"
