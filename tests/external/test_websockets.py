"""WebSockets: which line, how long, which URL, and whose connections are none of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websocket
import websockets.sync.client
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from helpers import assert_clean, assert_flagged, calls_seen, line_of
from http_clients import everything_said, transaction
from sqlalchemy import Engine

import txprof
from txprof.sensors.websockets import websocket_call


def connect(address: str, path: str = "/echo") -> Any:
    return websockets.sync.client.connect(f"ws://{address}{path}", legacy=True)


def test_a_message_waited_for_in_a_transaction_is_a_finding_at_that_line(
    engine: Engine, websocket_address: str
) -> None:
    with txprof.profile() as prof, connect(websocket_address) as connection:
        connection.send("price")
        with transaction(engine):
            assert connection.recv() == "PRICE"  # wait
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert finding.details["kind"] == "http"
    assert finding.details["target"] == f"recv ws://{websocket_address}/echo"
    assert finding.message.startswith(f"HTTP recv {websocket_address}/echo inside")


def test_a_message_waited_for_in_asyncio_is_a_finding_at_that_line(
    engine: Engine, websocket_address: str
) -> None:
    async def work() -> None:
        async with websockets.connect(f"ws://{websocket_address}/echo") as connection:
            await connection.send("price")
            with transaction(engine):
                assert await connection.recv() == "PRICE"  # wait

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)


def test_the_time_of_a_message_is_until_it_is_there(engine: Engine, websocket_address: str) -> None:
    with txprof.profile() as prof, connect(websocket_address, "/silent") as connection:
        with transaction(engine), pytest.raises(TimeoutError):
            connection.recv(timeout=0.2)  # wait
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert finding.seconds is not None
    assert finding.seconds > 0.19


def test_a_connection_that_raises_is_not_made(engine: Engine) -> None:
    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            for connecting in (
                lambda: websockets.connect("ws://127.0.0.1:1/"),
                lambda: session.ws_connect("ws://127.0.0.1:1/"),
            ):
                with pytest.warns(txprof.TransactionHygieneWarning, match="HTTP connect 127"):
                    with pytest.raises(txprof.TransactionHygieneError):
                        await connecting()

    with txprof.profile(on_finding="raise"), transaction(engine):
        asyncio.run(work())
        for connecting in (connect, lambda address: websocket.create_connection(f"ws://{address}")):
            with (
                pytest.warns(txprof.TransactionHygieneWarning),
                pytest.raises(txprof.TransactionHygieneError),
            ):
                connecting("127.0.0.1:1")


def test_what_is_closed_already_is_not_closed_again(engine: Engine, websocket_address: str) -> None:
    with txprof.profile() as prof:
        connection = connect(websocket_address)
        client = websocket.create_connection(f"ws://{websocket_address}/echo")
        connection.close()
        client.close()
        with transaction(engine):
            connection.close()
            client.close()
    assert_clean(prof)


def test_a_connection_older_than_the_profile_is_watched(websocket_address: str) -> None:
    txprof.uninstall()
    client = websocket.create_connection(f"ws://{websocket_address}/echo")
    with connect(websocket_address) as connection, txprof.profile() as prof:
        connection.send("a")
        client.send("b")
    client.close()
    assert calls_seen(prof) == [
        ("http", f"send ws://{websocket_address}/", 1),
        ("http", f"send ws://{websocket_address}/echo", 1),
    ]


def test_an_allowed_host_may_be_talked_to(engine: Engine, websocket_address: str) -> None:
    with txprof.profile(allow_hosts=[websocket_address]) as prof, transaction(engine):
        with connect(websocket_address) as connection:
            connection.send("a")
            connection.recv()
    assert_clean(prof)


def test_neither_message_nor_query_nor_user_is_shown(
    engine: Engine, websocket_address: str, tmp_path: Path
) -> None:
    url = f"ws://in-user:in-secret@{websocket_address}/echo?token=in-token"
    with txprof.profile() as prof, transaction(engine):
        with websockets.sync.client.connect(url, legacy=True) as connection:
            connection.send("in-message")
            connection.recv()
        client = websocket.create_connection(url)
        client.send("in-message")
        client.close()
    said = everything_said(prof, tmp_path)
    assert f"send ws://{websocket_address}/echo" in said
    secrets = ("in-user", "in-secret", "in-token", "in-message")
    assert not [secret for secret in secrets if secret in said]


def test_a_connection_to_an_application_of_the_test_is_no_call(engine: Engine) -> None:
    async def answer(request: web.Request) -> web.WebSocketResponse:
        served = web.WebSocketResponse()
        await served.prepare(request)
        async for message in served:
            await served.send_str(message.data.upper())
        return served

    async def work() -> str:
        application = web.Application()
        application.router.add_get("/", answer)
        async with TestClient(TestServer(application)) as client:
            with transaction(engine):
                async with client.ws_connect("/") as connection:
                    await connection.send_str("price")
                    return str((await connection.receive()).data)

    with txprof.profile() as prof:
        assert asyncio.run(work()) == "PRICE"
    assert_clean(prof)
    assert calls_seen(prof) == []


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("ws://example.com/feed", "send ws://example.com/feed", "example.com:80"),
        ("wss://example.com", "send wss://example.com/", "example.com:443"),
        ("https://example.com:8443/a?b=c#d", "send wss://example.com:8443/a", "example.com:8443"),
        ("ws://u:p@[::1]:9/a", "send ws://[::1]:9/a", "::1:9"),
    ],
)
def test_the_target_is_verb_and_url(url: str, target: str, host: str) -> None:
    call = websocket_call("send", url)
    assert call is not None
    assert (call.target, call.host) == (target, host)


def test_what_is_no_url_of_a_websocket_is_no_call() -> None:
    assert websocket_call("connect", "ftp://example.com/") is None
    assert websocket_call("connect", "nonsense") is None
