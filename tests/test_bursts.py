"""What repeats on purpose, in one entry or in many, in tasks, and row by row."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import assert_burst, assert_clean, assert_flagged, line_of
from shop import CUSTOMERS, Base, Customer, Line, Order
from sqlalchemy import Engine, delete, event, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import txprof
from txprof.bursts import bursts_in
from txprof.entries import Statement
from txprof.settings import Settings

# What repeats on purpose


def by_offset(session: Session) -> None:
    for page in range(6):
        session.scalars(select(Order).order_by(Order.id).limit(2).offset(2 * page)).all()


def by_key(session: Session) -> None:
    last = 0
    while rows := session.scalars(
        select(Order).where(Order.id > last).order_by(Order.id).limit(2)
    ).all():
        last = rows[-1].id


def by_chunk(session: Session) -> None:
    for start in range(0, 24, 4):
        numbers = list(range(start, start + (3 if start == 20 else 4)))
        session.scalars(select(Line).where(Line.id.in_(numbers))).all()


def by_literal_offset(session: Session) -> None:
    for page in range(6):
        session.execute(text(f"SELECT id FROM orders ORDER BY id LIMIT 2 OFFSET {2 * page}")).all()


def polling(session: Session) -> None:
    for _ in range(6):
        session.execute(text("SELECT 1")).all()  # txprof: allow[n-plus-one] waits for a job


def different_shapes(session: Session) -> None:
    for column in (Line.id, Line.order_id, Line.amount, Order.id, Customer.id, Customer.name):
        session.execute(select(column)).all()


def one_flush(session: Session) -> None:
    session.add_all([Customer(name=f"n{number}", biography="") for number in range(20)])
    session.commit()


def probed_flush(session: Session) -> None:
    def probe(_mapper: Any, connection: Any, target: Customer) -> None:
        connection.execute(select(Customer.id).where(Customer.name == target.name)).all()

    event.listen(Customer, "before_insert", probe)
    try:
        one_flush(session)
    finally:
        event.remove(Customer, "before_insert", probe)


def savepoints(session: Session) -> None:
    for _ in range(12):
        with session.begin_nested():
            pass


@pytest.mark.parametrize(
    "program",
    [
        by_offset,
        by_key,
        by_chunk,
        by_literal_offset,
        polling,
        different_shapes,
        one_flush,
        probed_flush,
        savepoints,
    ],
)
def test_what_repeats_on_purpose_is_clean(
    session: Session, program: Callable[[Session], None]
) -> None:
    with txprof.profile() as prof:
        program(session)
    assert_clean(prof)


def get(session: Session) -> None:
    for number in range(1, 7):
        session.get(Customer, number)


def test_an_allow_block_lets_it_be(session: Session) -> None:
    with txprof.profile() as prof, txprof.allow("n-plus-one", reason="the cache is cold"):
        get(session)
    assert_clean(prof)


# Entries


def test_what_each_call_runs_once_is_no_burst(session: Session) -> None:
    def request(number: int) -> object:
        return session.execute(select(Customer.name).where(Customer.id == number)).scalar()

    with txprof.profile(request) as prof:
        for number in range(8):
            request(number)
    assert_clean(prof)
    decorated = txprof.profile(report=None)(request)
    for number in range(8):
        decorated(number)
    assert_clean(decorated.__txprof__)


def test_the_loop_around_a_decorated_function_is_seen_by_the_function_around(
    session: Session,
) -> None:
    @txprof.profile(report=None)
    def inner(number: int) -> object:
        return session.execute(select(Customer.name).where(Customer.id == number)).scalar()

    @txprof.profile(report=None, on_finding="ignore")
    def outer() -> None:
        for number in range(8):
            inner(number)  # loop

    outer()
    assert_clean(inner.__txprof__)  # type: ignore[attr-defined]
    assert_flagged(outer.__txprof__, "n-plus-one", line=line_of("loop"))  # type: ignore[attr-defined]


def test_concurrent_calls_do_not_add_up(shop: Engine) -> None:
    barrier = threading.Barrier(8)

    @txprof.profile(report=None)
    def request(number: int) -> str | None:
        barrier.wait()
        with Session(shop) as session:
            return session.scalar(select(Customer.name).where(Customer.id == number))

    threads = [threading.Thread(target=request, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    prof = request.__txprof__  # type: ignore[attr-defined]
    assert sum(query.count for query in prof.queries) == len(threads)
    assert_clean(prof)


# asyncio


def test_lazy_loads_of_an_async_session(async_url: str) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(async_url)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            for number in range(CUSTOMERS):
                customer = Customer(name=f"c{number}", biography="", orders=[Order()])
                session.add(customer)
            await session.commit()
        async with AsyncSession(engine) as session:
            with txprof.profile(on_finding="ignore") as prof:
                for customer in await session.scalars(select(Customer)):
                    assert await customer.awaitable_attrs.orders  # touch
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
        await engine.dispose()
        return prof

    prof = asyncio.run(main())
    finding = assert_burst(prof, "Customer.orders")
    assert finding.site.function.endswith("main")
    assert "# touch" in Path(__file__).read_text().splitlines()[finding.site.line - 1]


def test_a_query_a_task_of_one_gather(async_url: str) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(async_url)

        async def job(number: int) -> object:
            async with AsyncSession(engine) as session:
                return (await session.execute(select(text(f"1 + {number}")))).scalar()

        with txprof.profile(on_finding="ignore") as prof:
            await asyncio.gather(*(job(number) for number in range(8)))
        await engine.dispose()
        return prof

    assert_flagged(asyncio.run(main()), "n-plus-one", count=8)


# write-loop


def core_inserts(session: Session) -> None:
    for number in range(12):
        session.execute(insert(Line).values(order_id=1, amount=number))


def updates(session: Session) -> None:
    for number in range(12):
        session.execute(update(Line).where(Line.id == number).values(amount=0))


def deletes(session: Session) -> None:
    for number in range(12):
        session.execute(delete(Line).where(Line.id == number))


def a_flush_each(session: Session) -> None:
    for number in range(12):
        session.add(Line(order_id=1, amount=number))
        session.flush()


@pytest.mark.parametrize(
    ("loop", "instead"),
    [
        (core_inserts, "session.execute(insert(...), rows)"),
        (updates, "session.execute(update(...), rows)"),
        (deletes, "session.execute(delete(...).where(... .in_(ids)))"),
        (a_flush_each, "or one flush"),
    ],
)
def test_writes_row_by_row_are_a_write_loop(
    session: Session, loop: Callable[[Session], None], instead: str
) -> None:
    with txprof.profile() as prof:
        loop(session)
    finding = assert_flagged(prof, "write-loop", count=12)
    assert finding.severity == "info"
    assert finding.site.function == loop.__name__
    assert instead in finding.hint


def test_nine_writes_are_none(session: Session) -> None:
    with txprof.profile() as prof:
        for number in range(9):
            session.execute(insert(Line).values(order_id=1, amount=number))
        session.execute(insert(Line), [{"order_id": 1, "amount": 1}] * 20)
    assert_clean(prof)


def test_raise_comes_when_the_call_ends_and_not_over_its_own_exception(session: Session) -> None:
    @txprof.profile(report=None, on_finding="raise")
    def loop(error: Exception | None = None) -> None:
        get(session)
        session.expunge_all()
        if error is not None:
            raise error

    with (
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        loop()
    assert caught.value.finding.rule == "n-plus-one"
    with pytest.warns(txprof.TransactionHygieneWarning), pytest.raises(KeyError):
        loop(KeyError())


def test_literal_texts_are_bounded(session: Session) -> None:
    with txprof.profile() as prof:
        for number in range(5_000):
            session.execute(text(f"SELECT {number}"))
    assert len(prof.recorded.statements) < 2_000
    assert sum(row.count for row in prof.recorded.statements) == 5_000
    assert_flagged(prof, "n-plus-one", count=5_000)


@pytest.mark.breaks_a_sensor
def test_an_error_in_the_judgement_never_reaches_the_program(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("txprof.bursts._burst", broken)

    @txprof.profile(report=None)
    def call() -> int:
        get(session)
        return 1

    assert call() == 1
    assert_clean(call.__txprof__)  # type: ignore[attr-defined]


def test_a_query_of_no_application_line_in_a_flush_is_judged() -> None:
    row = Statement("SELECT 1", "transaction", (), ())
    row.count, row.flush = 6, object()
    assert bursts_in([row], Settings()) == []
