"""AsyncSession on each driver: which line a statement or a call belongs to, greenlet or not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
import httpx2
import pytest
import watched
from helpers import ApiServer, assert_clean, assert_flagged, call, calls_seen, line_of
from sqlalchemy import ForeignKey
from sqlalchemy.ext.asyncio import (
    AsyncAttrs,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import txprof


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "async_product"
    id: Mapped[int] = mapped_column(primary_key=True)
    details: Mapped[list[Detail]] = relationship()


class Detail(Base):
    __tablename__ = "async_detail"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey(Product.id))


Sessions = async_sessionmaker[AsyncSession]


def run(url: str, work: Callable[[Sessions], Awaitable[None]]) -> txprof.Profile:
    """A profile of the work on a database with one product of two details."""

    async def main() -> txprof.Profile:
        engine = create_async_engine(url)
        sessions = async_sessionmaker(engine)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
            await connection.run_sync(Base.metadata.create_all)
        async with sessions.begin() as session:
            session.add(Product(id=1, details=[Detail(id=1), Detail(id=2)]))
        try:
            with txprof.profile(on_finding="ignore") as prof:
                await work(sessions)
        finally:
            await engine.dispose()
        return prof

    return asyncio.run(main())


def sites(profile: txprof.Profile, table: str) -> list[tuple[str, int]]:
    """The functions and lines that the SELECTs from a table were sent from."""
    return [
        (row.path[0].function.rpartition(".")[2], row.path[0].line)
        for row in profile.recorded.statements
        if f"FROM {table}" in row.statement
    ]


def test_a_statement_belongs_to_the_line_that_awaited_the_relationship(async_url: str) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions() as session:
            product = await session.get_one(Product, 1)  # get
            assert len(await product.awaitable_attrs.details) == 2  # touch

    prof = run(async_url, work)
    assert sites(prof, "async_product") == [("work", line_of("get"))]
    assert sites(prof, "async_detail") == [("work", line_of("touch"))]


def details_of(session: Session) -> int:
    product = session.get_one(Product, 1)
    return len(product.details)


TOUCHING = details_of.__code__.co_firstlineno + 2


def test_a_statement_belongs_to_the_line_that_touched_the_relationship_under_run_sync(
    async_url: str,
) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions() as session:
            assert await session.run_sync(details_of) == 2  # run

    prof = run(async_url, work)
    assert [name for name, _ in sites(prof, "async_detail")] == ["details_of"]
    (path,) = [row.path for row in prof.recorded.statements if "async_detail" in row.statement]
    assert [site.line for site in path[:2]] == [TOUCHING, line_of("run")]


def test_the_lines_of_what_run_sync_runs_are_timed(async_url: str) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions() as session:
            await session.run_sync(details_of)

    with txprof.profile(details_of) as prof:
        run(async_url, work)
    line = prof.functions[0].lines[TOUCHING]
    assert (line.hits, line.queries) == (1, 1)
    assert line.transaction_seconds is not None
    assert line.seconds / 2 < line.transaction_seconds <= line.seconds


async def ask_aiohttp(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


async def ask_httpx(url: str) -> int:
    async with httpx.AsyncClient(verify=False) as client:
        return (await client.get(url)).status_code


async def ask_httpx2(url: str) -> int:
    async with httpx2.AsyncClient(verify=False) as client:
        return (await client.get(url)).status_code


ASK = pytest.mark.parametrize(
    "ask", [ask_aiohttp, ask_httpx, ask_httpx2], ids=lambda ask: ask.__name__
)


@ASK
def test_a_call_in_the_transaction_of_a_session_is_flagged_where_it_is_awaited(
    async_url: str, api: ApiServer, ask: Callable[[str], Awaitable[int]]
) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions.begin() as session:
            await session.get_one(Product, 1)  # read
            assert await ask(api.url()) == 200  # call

    finding = assert_flagged(
        run(async_url, work), "io-in-transaction", line=line_of("call"), count=1
    )
    assert finding.details["transaction_site"].line == line_of("read")


@ASK
def test_a_call_between_two_transactions_is_clean(
    async_url: str, api: ApiServer, ask: Callable[[str], Awaitable[int]]
) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions() as session:
            product = await session.get_one(Product, 1)
            await session.commit()
            assert await ask(api.url()) == 200
            await session.refresh(product)

    prof = run(async_url, work)
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_call_that_run_sync_makes_is_flagged_at_the_line_that_mixes(async_url: str) -> None:
    def read_and_call(session: Session) -> None:
        session.get_one(Product, 1)
        call()  # inner

    async def inside(sessions: Sessions) -> None:
        async with sessions() as session:
            await session.run_sync(read_and_call)

    async def outside(sessions: Sessions) -> None:
        async with sessions() as session:
            await session.get_one(Product, 1)
            await session.run_sync(lambda _: call())  # outer

    assert_flagged(run(async_url, inside), "io-in-transaction", line=line_of("inner"), count=1)
    assert_flagged(run(async_url, outside), "io-in-transaction", line=line_of("outer"), count=1)


def test_a_relationship_awaited_after_the_commit_opens_a_transaction_again(async_url: str) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions() as session:
            product = await session.get_one(Product, 1)
            await session.commit()
            call("before")
            await product.awaitable_attrs.details  # read
            call("after")  # call

    finding = assert_flagged(
        run(async_url, work), "io-in-transaction", line=line_of("call"), count=1
    )
    assert finding.details["target"] == "after"
    assert finding.details["transaction_site"].line == line_of("read")


def test_a_watched_coroutine_that_raises_under_raise_never_starts(async_url: str) -> None:
    async def work(sessions: Sessions) -> None:
        async with sessions() as session:
            await session.get_one(Product, 1)
            with (
                txprof.watch("watched:charge_later", kind="rpc"),
                txprof.profile(on_finding="raise", scope="context"),
                pytest.warns(txprof.TransactionHygieneWarning),
                pytest.raises(txprof.TransactionHygieneError),
            ):
                await watched.charge_later(1)

    run(async_url, work)  # and no coroutine is left that was never awaited


def test_what_the_end_of_a_block_writes_belongs_to_its_line(async_url: str) -> None:
    # SQLAlchemy commits in a task of its own, which no cancellation reaches.
    async def write(sessions: Sessions) -> None:
        async with sessions.begin() as session:  # block
            session.add(Product(id=2))

    async def work(sessions: Sessions) -> None:
        with txprof.profile(write, on_finding="ignore") as prof:
            await write(sessions)
        profiles.append(prof)

        with txprof.profile(on_finding="ignore") as prof:
            for number in (3, 4):
                async with sessions.begin() as session:  # one
                    session.add(Product(id=number))
            async with sessions.begin() as session:  # other
                session.add(Product(id=5))
        profiles.append(prof)

    profiles: list[txprof.Profile] = []
    run(async_url, work)
    rows = [row for row in profiles[1].recorded.statements if "INSERT" in row.statement]
    counts = {row.path[0].line: row.count for row in rows}
    assert sorted(counts.values()) == [1, 2]
    first = inspect.getsourcelines(write)[1]
    (row,) = [row for row in profiles[0].recorded.statements if "INSERT" in row.statement]
    assert [(site.line - first, site.function.rpartition(".")[2]) for site in row.path[:1]] == [
        (1, "write")
    ]
    line = profiles[0].functions[0].lines[first + 1]
    assert line.queries == 1
    assert line.held_seconds is not None
    assert 0 < line.held_seconds <= line.seconds
