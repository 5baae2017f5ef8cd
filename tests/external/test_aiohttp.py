"""What is aiohttp's own: context objects, verbs, base URLs, sessions that answer by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import aiohttp
import pytest
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from http_clients import transaction
from sqlalchemy import Engine

import txprof

VERBS = ["get", "options", "head", "post", "put", "patch", "delete"]


def run(work: Callable[[aiohttp.ClientSession], Awaitable[Any]], **options: Any) -> Any:
    """What the work with a session gives."""

    async def main() -> Any:
        async with aiohttp.ClientSession(**options) as session:
            return await work(session)

    return asyncio.run(main())


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_a_call(engine: Engine, api: ApiServer, verb: str) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        with transaction(engine):
            async with getattr(session, verb)(api.url()):  # call
                pass

    with txprof.profile() as prof:
        run(work)
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["target"] == f"{verb.upper()} {api.url()}"


def test_a_verb_gives_out_what_it_does_without_txprof(api: ApiServer) -> None:
    async def work(session: aiohttp.ClientSession) -> list[Any]:
        async def told(answer: aiohttp.ClientResponse) -> Any:
            return type(answer), await answer.read()

        made = session.get(api.url())
        async with made as entered:
            answers = [await told(entered)]
        answers.append(await told(await session.get(api.url())))
        (gathered,) = await asyncio.gather(session.get(api.url()))
        answers.append(await told(gathered))
        task = asyncio.create_task(session.get(api.url()))
        answers.append(await told(await task))
        return [type(made), answers]

    txprof.uninstall()
    without = run(work)
    with txprof.profile() as prof:
        assert run(work) == without
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 4)]


def test_a_call_is_where_it_is_awaited(engine: Engine, api: ApiServer) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        request = session.get(api.url())
        with transaction(engine):
            (await request).release()  # await
            later = session.get(api.url())
        (await later).release()

    with txprof.profile() as prof:
        run(work)
    assert_flagged(prof, "io-in-transaction", line=line_of("await"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 2)]


def test_the_target_is_below_the_base_url_of_the_session(api: ApiServer) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        (await session.get("v1/chat")).release()

    with txprof.profile() as prof:
        run(work, base_url=api.url("/"))
    assert calls_seen(prof) == [("http", f"GET {api.url('/v1/chat')}", 1)]


@pytest.mark.parametrize(("shown", "query"), [(False, ""), (True, "?a=1&b=2")])
def test_parameters_are_part_of_the_query(api: ApiServer, shown: bool, query: str) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        (await session.get(api.url("/ok?a=1"), params={"b": "2"})).release()

    with txprof.profile(url_query=shown) as prof:
        run(work)
    assert calls_seen(prof) == [("http", f"GET {api.url('/ok')}{query}", 1)]


def test_a_body_read_before_the_transaction_is_no_call_in_it(
    engine: Engine, api: ApiServer
) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        response = await session.get(api.url())
        await response.read()
        with transaction(engine):
            assert await response.text() == "ok"

    with txprof.profile() as prof:
        run(work)
    assert_clean(prof)


def test_a_session_that_answers_from_its_cache_makes_no_call(
    engine: Engine, api: ApiServer
) -> None:
    with pytest.warns(DeprecationWarning, match="discouraged"):

        class Cached(aiohttp.ClientSession):
            answer: Any = None

            async def _request(self, *args: Any, **options: Any) -> aiohttp.ClientResponse:
                if Cached.answer is None:
                    Cached.answer = await super()._request(*args, **options)
                return Cached.answer  # type: ignore[no-any-return]

    async def work() -> None:
        async with Cached() as session:
            await session.get(api.url())
            with transaction(engine):
                (await session.get(api.url())).release()

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_call_that_raises_is_not_sent_and_the_session_goes_on(
    engine: Engine, api: ApiServer
) -> None:
    async def work(session: aiohttp.ClientSession) -> bytes:
        with (
            transaction(engine),
            pytest.warns(txprof.TransactionHygieneWarning),
            pytest.raises(txprof.TransactionHygieneError),
        ):
            await session.post(api.url("/refused"))
        async with session.get(api.url()) as response:
            return await response.read()

    before = len(api.requests)
    with txprof.profile(on_finding="raise"):
        assert run(work) == b"ok"
    assert api.requests[before:] == ["GET /ok"]


@pytest.mark.parametrize("options", [{}, {"autospec": True}], ids=["plain", "autospec"])
def test_a_patched_request_answers_as_it_does_without_txprof_and_is_a_call(
    engine: Engine, options: dict[str, Any]
) -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        with transaction(engine):
            async with session.get("http://api.example.com/v1") as answer:  # call
                assert answer.status == 201

    answer = mock.MagicMock(status=201)
    answer.__aenter__.return_value = answer
    patch = mock.patch.object(aiohttp.ClientSession, "_request", return_value=answer, **options)
    with txprof.profile() as prof, patch as request:
        run(work)
    assert request.await_count == 1
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_patched_verb_answers_as_it_does_without_txprof() -> None:
    async def work(session: aiohttp.ClientSession) -> None:
        async with session.get("http://api.example.com/v1") as answer:
            assert answer.status == 201

    with mock.patch.object(aiohttp.ClientSession, "get") as get, txprof.profile() as prof:
        get.return_value.__aenter__.return_value.status = 201
        run(work)
    assert get.call_count == 1
    assert calls_seen(prof) == []
