"""Behaviours that were seen in real applications, and took care to be right about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from helpers import assert_clean, assert_flagged, call, findings_of, line_of
from shop import Customer
from sqlalchemy import Engine, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import txprof

# A task that a logging handler spawns, and forgets.


class _Shipping(logging.Handler):
    """Sends each record from a task of its own, as handlers for chats and alarms do."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[asyncio.Task[None]] = []
        self.sent: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.tasks.append(asyncio.create_task(self.send(record.getMessage())))

    async def send(self, message: str) -> None:
        call("alarms")
        await asyncio.sleep(0)
        self.sent.append(message)


@pytest.fixture
def shipping() -> Iterator[_Shipping]:
    handler = _Shipping()
    logger = logging.getLogger("shop")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_a_task_that_a_logging_handler_spawns_and_forgets_is_clean(
    async_url: str, shipping: _Shipping
) -> None:
    async def request(engine: Any) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
            logging.getLogger("shop").info("paid")
            await asyncio.sleep(0)  # the task runs here
            await connection.execute(text("SELECT 2"))

    async def main() -> None:
        engine = create_async_engine(async_url)
        await request(engine)
        await asyncio.gather(*shipping.tasks)
        await engine.dispose()

    with txprof.profile(on_finding="ignore") as prof:
        asyncio.run(main())
    assert shipping.sent == ["paid"]
    assert sum(row.count for row in prof.recorded.external_calls) == 1
    assert findings_of(prof, "io-in-transaction") == findings_of(prof, "io-while-held") == []


# One line from two callers, one of them with a transaction.


def notify() -> None:
    call("notify")


def with_a_transaction(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        notify()  # mixes


def without(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    notify()


def test_one_line_from_two_callers_is_judged_a_call_and_reported_a_caller(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        for caller in (without, with_a_transaction, without):
            caller(engine)
    finding = assert_flagged(prof, "io-in-transaction", count=1)
    assert finding.site.function == "with_a_transaction"
    assert sum(row.count for row in prof.recorded.external_calls) == 3


# A message that is sent from within a transaction which writes.


@pytest.mark.parametrize("kind", ["queue", "mail"])
def test_a_message_from_a_transaction_that_writes_leaves_before_the_commit(
    engine: Engine, kind: str
) -> None:
    with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
        connection.execute(text("UPDATE product SET name = 'paid' WHERE id = 1"))
        with txprof.external_call(kind, "orders"):  # send
            pass
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("send"))
    assert "the message leaves before the commit" in finding.message
    assert "product" in finding.message
    assert finding.hint.startswith("write, leave the `with ")
    assert finding.hint.endswith(
        "block, then send; or write down in it what is to be sent (an outbox)"
    )


@pytest.mark.parametrize("kind", ["queue", "http"])
def test_that_is_said_of_messages_and_writes_alone(engine: Engine, kind: str) -> None:
    with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
        if kind == "http":
            connection.execute(text("UPDATE product SET name = 'paid' WHERE id = 1"))
        else:
            connection.execute(text("SELECT name FROM product"))
        with txprof.external_call(kind, "orders"):
            pass
    assert "before the commit" not in assert_flagged(prof, "io-in-transaction").message


# A transaction that is opened again by reading an attribute after the commit.


def test_the_line_that_reads_an_expired_attribute_is_the_opener(session: Session) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        customer = session.get(Customer, 1)
        assert customer is not None
        session.commit()
        assert customer.name  # reads
        call("s3")  # uploads
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("uploads"))
    assert finding.details["transaction_site"].line == line_of("reads")


# The same query with the same parameters, in one request.


def current_customer(session: Session) -> str | None:
    return session.scalar(select(Customer.name).where(Customer.id == 1))


async def current_customer_async(session: AsyncSession) -> object:
    return (await session.execute(select(text("1")))).scalar()


def test_identity_recomputed_eight_times_a_request_is_an_identical_query(session: Session) -> None:
    def request() -> None:
        for _ in range(8):
            current_customer(session)  # asks

    with txprof.profile(request, on_finding="ignore") as prof:
        request()
    finding = assert_flagged(prof, "n-plus-one", line=line_of("asks"), count=8)
    assert "identical query" in finding.message
    assert "load it once" in finding.hint
    assert finding.details["relationship"] is None


def test_the_same_in_asyncio(async_url: str) -> None:
    async def request() -> None:
        engine = create_async_engine(async_url)
        async with AsyncSession(engine) as session:
            for _ in range(8):
                await current_customer_async(session)  # asks
        await engine.dispose()

    with txprof.profile(request, on_finding="ignore") as prof:
        asyncio.run(request())
    finding = assert_flagged(prof, "n-plus-one", line=line_of("asks"), count=8)
    assert "identical query" in finding.message


# The test's own loop over requests or repository calls.


def loop(ask: Callable[[], Any]) -> None:
    for _ in range(8):
        ask()


def test_a_loop_over_requests_is_no_burst_of_theirs(session: Session) -> None:
    def request() -> str | None:
        return current_customer(session)

    with txprof.profile(request, on_finding="ignore") as prof:
        loop(request)
    assert sum(query.count for query in prof.queries) == 8
    assert_clean(prof)


def test_nor_one_of_requests_in_tasks(async_url: str) -> None:
    async def request(engine: Any) -> object:
        async with AsyncSession(engine) as session:
            return await current_customer_async(session)

    async def main(ask: Callable[[Any], Awaitable[object]]) -> None:
        engine = create_async_engine(async_url)
        for _ in range(8):
            await ask(engine)
        await asyncio.gather(*(ask(engine) for _ in range(8)))
        await engine.dispose()

    with txprof.profile(request, on_finding="ignore") as prof:
        asyncio.run(main(request))
    assert sum(query.count for query in prof.queries) == 16
    assert_clean(prof)
