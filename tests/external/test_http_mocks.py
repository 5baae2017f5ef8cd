"""Mocks sit below the clients' public methods: a call to one is a call, and both come off clean."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import aiohttp
import httpx
import httpx2
import pytest
import requests
import requests_mock
import responses
import respx
import vcr
from aioresponses import aioresponses
from helpers import ApiServer, assert_flagged, calls_seen, line_of
from http_clients import CLIENTS, transaction
from sqlalchemy import Engine

import txprof

URL = "http://api.example.com/v1/chat"


class Mock(NamedTuple):
    """While `answering` is entered, `ask` is answered by a mock, in front of what `real` asks."""

    answering: Callable[[pytest.FixtureRequest], AbstractContextManager[Any]]
    ask: Callable[[], str]
    real: str


def ask_requests() -> str:
    return requests.get(URL, timeout=5).text


def ask_httpx() -> str:
    with httpx.Client(verify=False) as client:
        return client.get(URL).text


def ask_httpx_async() -> str:
    async def get() -> str:
        async with httpx.AsyncClient(verify=False) as client:
            return (await client.get(URL)).text

    return asyncio.run(get())


def ask_aiohttp() -> str:
    async def get() -> str:
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            return await response.text()

    return asyncio.run(get())


def ask_aiohttp_awaited() -> str:
    async def get() -> str:
        async with aiohttp.ClientSession() as session:
            return await (await session.request("GET", URL)).text()

    return asyncio.run(get())


def ask_aiohttp_request() -> str:
    async def get() -> str:
        async with aiohttp.request("GET", URL) as response:
            return await response.text()

    return asyncio.run(get())


def ask_transport(module: Any) -> Callable[[], str]:
    def get() -> str:
        transport = module.MockTransport(lambda _: module.Response(200, text="mocked"))
        with module.Client(transport=transport) as client:
            return str(client.get(URL).text)

    return get


@contextmanager
def by_responses(_: pytest.FixtureRequest) -> Iterator[None]:
    with responses.RequestsMock() as mocked:
        mocked.get(URL, body="mocked")
        yield


@contextmanager
def by_requests_mock(_: pytest.FixtureRequest) -> Iterator[None]:
    with requests_mock.Mocker() as mocker:
        mocker.get(URL, text="mocked")
        yield


@contextmanager
def by_respx(_: pytest.FixtureRequest) -> Iterator[None]:
    with respx.mock:
        respx.get(URL).respond(text="mocked")
        yield


@contextmanager
def by_pytest_httpx(request: pytest.FixtureRequest) -> Iterator[None]:
    httpx_mock = request.getfixturevalue("httpx_mock")  # ends with the test
    httpx_mock.add_response(url=URL, text="mocked", is_reusable=True, is_optional=True)
    yield


@contextmanager
def by_aioresponses(_: pytest.FixtureRequest) -> Iterator[None]:
    with aioresponses() as mocked:
        mocked.get(URL, body="mocked", repeat=True, response_class=MockedResponse)
        yield


class MockedResponse(aiohttp.ClientResponse):
    """With the argument that aiohttp 3.14 asks for and aioresponses 0.7 does not give."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=mock.Mock(), **kwargs)


@contextmanager
def by_vcr(request: pytest.FixtureRequest) -> Iterator[None]:
    folder: Path = request.getfixturevalue("tmp_path")
    said = {"method": "GET", "uri": URL, "body": None, "headers": {}}
    answered = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["text/plain"]},
        "body": {"string": "mocked"},
    }
    exchange = {"request": said, "response": answered}
    tape = folder / "tape.json"
    tape.write_text(json.dumps({"version": 1, "interactions": [exchange]}))
    with vcr.use_cassette(
        str(tape), serializer="json", record_mode="none", allow_playback_repeats=True
    ):
        yield


@contextmanager
def by_transport(_: pytest.FixtureRequest) -> Iterator[None]:
    yield


MOCKS = {
    "responses": Mock(by_responses, ask_requests, "requests"),
    "requests-mock": Mock(by_requests_mock, ask_requests, "requests"),
    "respx": Mock(by_respx, ask_httpx, "httpx"),
    "respx async": Mock(by_respx, ask_httpx_async, "httpx async"),
    "pytest-httpx": Mock(by_pytest_httpx, ask_httpx, "httpx"),
    "pytest-httpx async": Mock(by_pytest_httpx, ask_httpx_async, "httpx async"),
    "aioresponses": Mock(by_aioresponses, ask_aiohttp, "aiohttp"),
    "aioresponses awaited": Mock(by_aioresponses, ask_aiohttp_awaited, "aiohttp awaited"),
    "aioresponses request": Mock(by_aioresponses, ask_aiohttp_request, "aiohttp.request"),
    "vcrpy requests": Mock(by_vcr, ask_requests, "requests"),
    "vcrpy httpx": Mock(by_vcr, ask_httpx, "httpx"),
    "vcrpy httpx async": Mock(by_vcr, ask_httpx_async, "httpx async"),
    "vcrpy aiohttp": Mock(by_vcr, ask_aiohttp, "aiohttp"),
    "httpx.MockTransport": Mock(by_transport, ask_transport(httpx), "httpx"),
    "httpx2.MockTransport": Mock(by_transport, ask_transport(httpx2), "httpx2"),
}
ENDING = [name for name in MOCKS if not name.startswith("pytest-httpx")]
"""Those whose end a test can see."""


@pytest.fixture(params=MOCKS)
def mocked(request: pytest.FixtureRequest) -> Mock:
    """Each mock, with no sensor in yet."""
    txprof.uninstall()
    return MOCKS[request.param]


def test_a_profile_before_the_mock_sees_the_call(
    engine: Engine, request: pytest.FixtureRequest, mocked: Mock
) -> None:
    with txprof.profile() as prof, transaction(engine), mocked.answering(request):
        assert mocked.ask() == "mocked"  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {URL}", 1)]


def test_a_profile_after_the_mock_sees_the_call(
    engine: Engine, request: pytest.FixtureRequest, mocked: Mock
) -> None:
    with mocked.answering(request), txprof.profile() as prof, transaction(engine):
        assert mocked.ask() == "mocked"  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {URL}", 1)]


def test_uninstalling_leaves_the_mock_in_force(
    request: pytest.FixtureRequest, mocked: Mock
) -> None:
    with mocked.answering(request):
        with txprof.profile():
            pass
        txprof.uninstall()
        assert mocked.ask() == "mocked"


ORDERS = {
    "mock inside": ("profile", "start", "stop"),
    "mock outside": ("start", "profile", "uninstall", "stop"),
    "mock first": ("start", "profile", "stop"),
    "mock last": ("profile", "start", "uninstall", "stop"),
}


def _run(order: tuple[str, ...], mock_: Mock, request: pytest.FixtureRequest) -> None:
    txprof.uninstall()
    started = ExitStack()
    for step in order:
        if step == "profile":
            with txprof.profile():
                pass
        elif step == "start":
            started.enter_context(mock_.answering(request))
            mock_.ask()
        elif step == "stop":
            started.close()
        else:
            txprof.uninstall()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ENDING)
def test_a_real_call_is_one_call_after_the_mock_ended(
    request: pytest.FixtureRequest, api: ApiServer, name: str, order: str
) -> None:
    _run(ORDERS[order], MOCKS[name], request)
    with txprof.profile() as prof:
        assert CLIENTS[MOCKS[name].real]("GET", api.url("/redirect")) == (200, b"ok")
    assert calls_seen(prof) == [("http", f"GET {api.url('/redirect')}", 1)]


@pytest.mark.parametrize("name", ENDING)
def test_a_real_call_is_seen_when_the_mock_ends_under_the_profile(
    request: pytest.FixtureRequest, api: ApiServer, name: str
) -> None:
    txprof.uninstall()
    started = ExitStack()
    started.enter_context(MOCKS[name].answering(request))
    MOCKS[name].ask()
    with txprof.profile() as prof:
        started.close()
        CLIENTS[MOCKS[name].real]("GET", api.url())
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ENDING)
def test_the_originals_are_back_after_both_ended(
    request: pytest.FixtureRequest, name: str, order: str
) -> None:
    def found() -> list[Any]:
        return [
            vars(requests.Session)["send"],
            vars(httpx.Client)["send"],
            vars(aiohttp.ClientSession)["_request"],
            vars(aiohttp.ClientSession)["get"],
        ]

    def same(before: list[Any]) -> list[bool]:
        return [ours is theirs for ours, theirs in zip(found(), before, strict=True)]

    txprof.uninstall()
    before = found()
    _run(ORDERS[order], MOCKS[name], request)
    with txprof.profile():
        assert same(before) == [False] * 4
    txprof.uninstall()
    assert same(before) == [True] * 4


@pytest.mark.parametrize("autospec", [False, True])
def test_a_patched_method_answers_as_it_does_without_txprof(autospec: bool) -> None:
    txprof.uninstall()
    answer = requests.Response()
    with mock.patch.object(requests.Session, "send", autospec=autospec) as send:
        send.return_value = answer
        with txprof.profile():
            assert requests.get(URL, timeout=5) is answer
    assert send.call_count == 1


def test_a_patched_coroutine_method_answers_as_it_does_without_txprof() -> None:
    txprof.uninstall()
    answer = httpx.Response(200, text="patched", request=httpx.Request("GET", URL))
    with (
        mock.patch.object(httpx.AsyncClient, "send", return_value=answer) as send,
        txprof.profile(),
    ):
        assert ask_httpx_async() == "patched"
    assert send.await_count == 1
