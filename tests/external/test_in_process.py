"""Test clients and in-process transports are not external; what they run may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from unittest.mock import MagicMock

import aiohttp
import flask
import httpx
import httpx2
import pytest
import requests
from aiohttp import test_utils, web
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from http_clients import transaction
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import txprof

Work = Callable[[], Any]
"""What the application does while it serves a request."""


def asgi_app(work: Work) -> Starlette:
    async def serve(request: Request) -> PlainTextResponse:
        work()
        return PlainTextResponse("served")

    return Starlette(routes=[Route("/", serve)])


def wsgi_app(work: Work) -> Callable[..., Iterable[bytes]]:
    def serve(environ: Any, start_response: Any) -> Iterable[bytes]:
        work()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"served"]

    return serve


def aiohttp_app(work: Work) -> web.Application:
    async def serve(request: web.Request) -> web.Response:
        work()
        return web.Response(text="served")

    app = web.Application()
    app.router.add_get("/", serve)
    return app


class AppAdapter(requests.adapters.BaseAdapter):
    """A requests adapter that carries the application it calls, as several packages have it."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self.app = app

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = 200
        response._content = b"".join(self.app({}, lambda *_: None))
        return response

    def close(self) -> None:
        pass


def starlette_client(work: Work) -> str:
    with TestClient(asgi_app(work)) as client:
        return str(client.get("/").text)


def asgi_transport(module: Any) -> Callable[[Work], str]:
    async def get(work: Work) -> str:
        transport = module.ASGITransport(asgi_app(work))
        async with module.AsyncClient(transport=transport, base_url="http://app") as client:
            return str((await client.get("/")).text)

    return lambda work: asyncio.run(get(work))


def wsgi_transport(module: Any) -> Callable[[Work], str]:
    def get(work: Work) -> str:
        transport = module.WSGITransport(wsgi_app(work))
        with module.Client(transport=transport, base_url="http://app") as client:
            return str(client.get("/").text)

    return get


def requests_adapter(work: Work) -> str:
    with requests.Session() as session:
        session.mount("http://app", AppAdapter(wsgi_app(work)))
        return session.get("http://app/").text


def flask_client(work: Work) -> str:
    app = flask.Flask("app")

    @app.get("/")
    def serve() -> str:
        work()
        return "served"

    return app.test_client().get("/").text


def aiohttp_client(work: Work) -> str:
    async def get() -> str:
        server = test_utils.TestServer(aiohttp_app(work))
        async with test_utils.TestClient(server) as client, client.get("/") as response:
            return await response.text()

    return asyncio.run(get())


IN_PROCESS = {
    "starlette": starlette_client,
    "httpx asgi": asgi_transport(httpx),
    "httpx wsgi": wsgi_transport(httpx),
    "httpx2 asgi": asgi_transport(httpx2),
    "httpx2 wsgi": wsgi_transport(httpx2),
    "requests adapter": requests_adapter,
    "flask": flask_client,
    "aiohttp": aiohttp_client,
}


@pytest.fixture(params=IN_PROCESS)
def serve(request: pytest.FixtureRequest) -> Callable[[Work], str]:
    """Has an application serve one request in this process, by one of the test clients."""
    return IN_PROCESS[request.param]


def test_a_request_to_an_application_in_the_process_is_not_external(
    engine: Engine, serve: Callable[[Work], str]
) -> None:
    with txprof.profile() as prof, transaction(engine):
        assert serve(lambda: None) == "served"
    assert_clean(prof)
    assert calls_seen(prof) == []


def test_a_call_that_the_application_makes_in_its_transaction_is_flagged(
    engine: Engine, api: ApiServer, serve: Callable[[Work], str]
) -> None:
    def work() -> None:
        with transaction(engine):
            requests.get(api.url(), timeout=5)  # call

    with txprof.profile() as prof:
        assert serve(work) == "served"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_call_that_the_application_makes_outside_is_seen_and_clean(
    api: ApiServer, serve: Callable[[Work], str]
) -> None:
    with txprof.profile() as prof:
        serve(lambda: requests.get(api.url(), timeout=5))
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_test_client_with_a_real_transport_mounted_is_external_there(
    engine: Engine, api: ApiServer
) -> None:
    with TestClient(asgi_app(lambda: None)) as client, httpx2.HTTPTransport() as real:
        # Only so: a test client takes no `mounts` of its own.
        client._mounts[httpx2._utils.URLPattern(f"http://{api.host}")] = real
        with txprof.profile() as prof, transaction(engine):
            client.get("/")
            client.get(api.url())  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_client_with_one_host_in_the_process_is_external_for_the_others(
    engine: Engine, api: ApiServer, module: Any
) -> None:
    mounts = {"http://app": module.WSGITransport(wsgi_app(lambda: None))}
    client = module.Client(mounts=mounts, verify=False)
    with client, txprof.profile() as prof, transaction(engine):
        client.get("http://app/")
        client.get(api.url())  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_mock_in_the_place_of_an_adapter_is_external(engine: Engine) -> None:
    adapter = MagicMock(**{"send.return_value": requests.Response()})
    with requests.Session() as session:
        session.mount("http://mocked", adapter)
        with txprof.profile() as prof, transaction(engine):
            session.get("http://mocked/")  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_server_of_the_test_that_stands_in_for_a_remote_one_is_external(engine: Engine) -> None:
    async def work() -> None:
        server = test_utils.TestServer(aiohttp_app(lambda: None))
        async with server, aiohttp.ClientSession() as session:
            with transaction(engine):
                async with session.get(server.make_url("/")) as response:  # call
                    assert await response.text() == "served"

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
