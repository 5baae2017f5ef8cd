"""The programs of examples/ai_research: on threads and in asyncio, naive and fixed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import assert_clean, findings_of
from sqlalchemy import create_engine, text

import txprof
from txprof.demo import load_example, part

LLM_SECONDS = 0.002


@dataclass
class Example:
    """The example, connected to its services and to a database of 3 products."""

    url: str

    def profiled(self, variant: str) -> txprof.Profile:
        """The profile of 3 products by naive, fixed, or either in asyncio."""
        process = part(variant).process
        runner = part("async_batch" if variant.startswith("async") else "batch")
        with runner.connected(self.url) as workers:
            workers.within(part("models").clear)
            # How long a busy machine lets a thread wait is not what is tested.
            with txprof.profile(process, on_finding="ignore", idle_ms=60_000) as prof:
                outcome = workers.run(process, [1, 2, 3])
        assert (outcome.done, outcome.failed) == (3, 0)
        return prof


@pytest.fixture
def patience() -> None:
    """Here the thresholds of the rules about time are their own."""


@pytest.fixture
def example(database_url: str) -> Iterator[Example]:
    load_example()
    before = set(threading.enumerate())
    with (
        part("batch").connected(database_url) as workers,
        part("models").tables(workers.within, 3),
        part("services").running(LLM_SECONDS),
    ):
        yield Example(database_url)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def line_in(variant: str, code: str) -> int:
    source = Path(str(part(variant).__file__)).read_text(encoding="utf-8").splitlines()
    (number,) = [number for number, line in enumerate(source, 1) if code in line]
    return number


CALLS = {
    "naive": ("llm.fetch_specs(", "images.upload("),
    "async_naive": ("await llm.fetch_specs_async(", "await asyncio.to_thread("),
    "fixed": ("llm.fetch_specs(", "images.upload("),
    "async_fixed": ("await llm.fetch_specs_async(", "await asyncio.to_thread("),
}
"""The lines that ask the model, and that store the image."""


@pytest.mark.parametrize("variant", ["naive", "async_naive"])
def test_naive_calls_the_model_and_s3_in_its_transaction(example: Example, variant: str) -> None:
    found = findings_of(example.profiled(variant), "io-in-transaction")
    ask, store = (line_in(variant, code) for code in CALLS[variant])
    assert {(f.site.line, f.details["kind"], f.count) for f in found} == {
        (ask, "http", 30),
        (store, "storage", 3),
    }


def test_naive_asks_for_the_unit_of_each_detail(example: Example) -> None:
    (function,) = example.profiled("naive").functions
    assert function.lines[line_in("naive", "detail.unit.symbol")].queries == 3 * 20


@pytest.mark.parametrize("variant", ["fixed", "async_fixed"])
def test_fixed_is_clean(example: Example, variant: str) -> None:
    prof = example.profiled(variant)
    assert_clean(prof)
    assert sum(row.count for row in prof.recorded.statements) == 3 * 4
    (function,) = prof.functions
    for code in CALLS[variant]:
        assert function.lines[line_in(variant, code)].held_seconds == 0.0


@pytest.mark.parametrize("variant", ["async_naive", "async_fixed"])
def test_an_await_line_has_the_time_it_waited(example: Example, variant: str) -> None:
    (function,) = example.profiled(variant).functions
    line = function.lines[line_in(variant, "await llm.fetch_specs_async(")]
    assert line.hits == 3
    assert line.await_seconds is not None
    assert line.seconds >= line.await_seconds >= 3 * 10 * LLM_SECONDS
    assert line.external_calls == 3 * 10
    if variant == "async_naive":
        assert line.transaction_seconds == line.held_seconds == line.seconds


def test_a_batch_that_is_given_up_starts_nothing_more(example: Example) -> None:
    given_up = threading.Event()
    begun = []

    def process(product_id: int) -> None:
        begun.append(product_id)
        if product_id > 1:
            given_up.wait(30)

    def interrupt(_outcome: object) -> None:
        raise KeyboardInterrupt

    with part("batch").connected(example.url) as workers, pytest.raises(KeyboardInterrupt):
        workers.run(process, range(1, 100), interrupt, on_abort=given_up.set)
    assert given_up.is_set()
    assert len(begun) <= 1 + 8


def test_tasks_that_are_given_up_end_first(example: Example) -> None:
    ended = []

    async def process(product_id: int) -> None:
        try:
            if product_id > 1:
                await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            ended.append(product_id)

    def interrupt(_outcome: object) -> None:
        raise KeyboardInterrupt

    with part("async_batch").connected(example.url) as workers, pytest.raises(KeyboardInterrupt):
        workers.run(process, range(1, 150), interrupt)
    assert sorted(ended) == list(range(1, 1 + len(ended)))
    assert 100 <= len(ended) < 149


def test_an_error_other_than_the_pools_ends_the_batch(example: Example) -> None:
    async def divide(product_id: int) -> float:
        return product_id / 0

    with part("batch").connected(example.url) as workers, pytest.raises(ZeroDivisionError):
        workers.run(lambda product_id: product_id / 0, [1, 2, 3])
    with part("async_batch").connected(example.url) as workers, pytest.raises(ZeroDivisionError):
        workers.run(divide, [1, 2, 3])


def test_all_write_the_same(example: Example) -> None:
    engine = create_engine(example.url)
    written = []
    for variant in CALLS:
        example.profiled(variant)
        with engine.connect() as connection:
            details = "SELECT id, value FROM txprof_demo_detail ORDER BY id"
            images = "SELECT id, image_url FROM txprof_demo_product ORDER BY id"
            written.append([connection.execute(text(sql)).all() for sql in (details, images)])
    engine.dispose()
    assert written == written[:1] * 4
    assert None not in {value for rows in written[0] for _, value in rows}


def test_ctrl_c_in_the_middle_of_a_step_ends_the_batch(tmp_path: Path) -> None:
    def product_ids() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    ends = []

    def run() -> None:
        with part("async_batch").connected(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}") as tasks:
            try:
                tasks.run(part("async_naive").process, product_ids())
            except KeyboardInterrupt:
                ends.append("interrupted")

    load_example()
    thread = threading.Thread(target=run, daemon=True)  # a loop that never ends ends with us
    thread.start()
    thread.join(60)
    assert ends == ["interrupted"]
