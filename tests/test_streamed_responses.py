"""Responses that are streamed while a session is open.

The body is produced after the endpoint returned, and whatever cleans up comes after the body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

import txprof

SELECT = text("SELECT 1")

Serve = Callable[[Request], Awaitable[StreamingResponse]]


class Served:
    """An application on a database; `get` asks it once, under a profile."""

    def __init__(self, url: str, spec_version: str) -> None:
        self.engine: AsyncEngine = create_async_engine(url)
        self.left_open: list[AsyncSession] = []
        self._spec_version = spec_version

    def get(
        self, serve: Serve, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app
    ) -> txprof.Profile:
        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            for session in self.left_open:
                await session.close()
            await self.engine.dispose()

        async def endpoint(request: Request) -> StreamingResponse:
            request.scope["asgi"] = {"version": "3.0", "spec_version": self._spec_version}
            return await serve(request)

        app = wrap(Starlette(routes=[Route("/", endpoint)], lifespan=lifespan))
        with TestClient(app) as client, txprof.profile(on_finding="ignore") as prof:
            assert client.get("/").text == "first last"
            status = txprof.pool_status(self.engine)
            self.busy, self.dead = status.busy, status.dead
        return prof


# Before 2.4 of the ASGI specification (uvicorn's is 2.3) Starlette streams in a task of its own.
@pytest.fixture(params=["2.3", "2.4"])
def served(async_url: str, request: pytest.FixtureRequest) -> Served:
    """An application on each kind of database, under either kind of server."""
    return Served(async_url, request.param)


async def ask(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


def test_a_call_while_streaming_is_in_the_transaction_that_is_cleaned_up_afterwards(
    served: Served, api: ApiServer
) -> None:
    async def serve(_: Request) -> StreamingResponse:
        session = AsyncSession(served.engine)
        await session.execute(SELECT)  # read

        async def body() -> AsyncIterator[str]:
            yield "first "
            async with aiohttp.request("GET", api.url()):  # call
                yield "last"

        return StreamingResponse(body(), background=BackgroundTask(session.close))

    prof = served.get(serve)
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["transaction_site"].line == line_of("read")
    assert served.busy == 0


def test_a_session_that_a_middleware_keeps_is_held_where_it_waits_for_the_response(
    served: Served, api: ApiServer
) -> None:
    def session_per_request(app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            async with AsyncSession(served.engine) as session:
                scope["session"] = session
                await app(scope, receive, send)  # keep

        return middleware

    async def serve(request: Request) -> StreamingResponse:
        await request["session"].execute(SELECT)

        async def body() -> AsyncIterator[str]:
            yield "first "
            await ask(api.url())  # call
            yield "last"

        return StreamingResponse(body())

    prof = served.get(serve, session_per_request)
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("keep"), count=1)
    calling = f"test_streamed_responses.py:{line_of('call')} "
    assert any(frame.startswith(calling) for frame in finding.details["call_path"])
    assert served.busy == 0


def test_a_session_opened_again_while_streaming_is_in_a_transaction_until_somebody_closes_it(
    served: Served, api: ApiServer
) -> None:
    async def serve(_: Request) -> StreamingResponse:
        async with AsyncSession(served.engine) as session:
            await session.execute(SELECT)
        await ask(api.url("/between"))

        async def body() -> AsyncIterator[str]:
            yield "first "
            await session.execute(SELECT)  # again
            await ask(api.url())  # call
            yield "last"

        served.left_open.append(session)
        return StreamingResponse(body())

    prof = served.get(serve)
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["transaction_site"].line == line_of("again")
    assert (served.busy, served.dead) == (0, 1)  # the request that has it is over


def test_what_is_read_before_streaming_leaves_the_stream_clean(
    served: Served, api: ApiServer
) -> None:
    async def serve(_: Request) -> StreamingResponse:
        async with AsyncSession(served.engine) as session:
            await session.execute(SELECT)

        async def body() -> AsyncIterator[str]:
            yield "first "
            await ask(api.url())
            yield "last"

        return StreamingResponse(body())

    prof = served.get(serve)
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]
