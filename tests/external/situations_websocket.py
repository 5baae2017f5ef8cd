"""What programs do with WebSockets, by each client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import websocket
import websockets
import websockets.asyncio.client
import websockets.sync.client
from expecting import Call, raising, returning
from situations import Seen, Situation

_NOWHERE = "127.0.0.1:1"


def _run(work: Callable[[str], Awaitable[Any]]) -> Call:
    return lambda address: asyncio.run(work(address))


# --- websockets, in threads ---------------------------------------------------------------------


def _echo(address: str, path: str = "/echo") -> Any:
    connect = websockets.sync.client.connect
    with connect(f"ws://user:secret@{address}{path}", legacy=True) as connection:
        connection.send("price")
        return connection.recv(timeout=60)


def _all(address: str) -> Any:
    with websockets.sync.client.connect(f"ws://{address}/twice", legacy=True) as connection:
        return list(connection)


def _too_late(address: str) -> Any:
    with websockets.sync.client.connect(f"ws://{address}/silent", legacy=True) as connection:
        return connection.recv(timeout=0.1)


def _reconnecting(address: str) -> Any:
    for connection in websockets.sync.client.reconnect(f"ws://{address}/echo"):
        connection.send("price")
        return connection.recv(timeout=60)
    return None


# --- websockets, in asyncio ---------------------------------------------------------------------


async def _echo_async(address: str, path: str = "/echo") -> Any:
    async with websockets.asyncio.client.connect(f"ws://{address}{path}") as connection:
        await connection.send("price")
        return await connection.recv()


async def _echo_awaited(address: str) -> Any:
    connection = await websockets.connect(f"ws://{address}/echo")
    await connection.send("price")
    answer = await connection.recv()
    await connection.close()
    return answer


async def _all_async(address: str) -> Any:
    async with websockets.connect(f"ws://{address}/twice") as connection:
        return [message async for message in connection]


async def _too_late_async(address: str) -> Any:
    async with websockets.connect(f"ws://{address}/silent") as connection, asyncio.timeout(0.1):
        return await connection.recv()


# --- websocket-client ---------------------------------------------------------------------------


def _client(address: str, path: str = "/echo") -> Any:
    connection = websocket.create_connection(f"ws://{address}{path}", timeout=60)
    connection.send("price")
    answer = connection.recv()
    connection.close()
    return answer


def _client_too_late(address: str) -> Any:
    connection = websocket.create_connection(f"ws://{address}/silent", timeout=60)
    connection.settimeout(0.1)
    try:
        return connection.recv()
    finally:
        connection.shutdown()


def _client_app(address: str) -> Any:
    heard: list[str] = []

    def listen(app: Any, message: str) -> None:
        heard.append(message)
        if len(heard) == 2:
            app.close()

    websocket.WebSocketApp(f"ws://{address}/twice", on_message=listen).run_forever()
    return heard


# --- aiohttp ------------------------------------------------------------------------------------


async def _aiohttp(address: str, path: str = "/echo") -> Any:
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"ws://{address}{path}") as connection:
            await connection.send_str("price")
            return await connection.receive_str()


async def _aiohttp_all(address: str) -> Any:
    async with aiohttp.ClientSession(f"http://{address}") as session:
        async with session.ws_connect("/twice") as connection:
            return [message.data async for message in connection]


async def _aiohttp_too_late(address: str) -> Any:
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"ws://{address}/silent") as connection:
            return await connection.receive(timeout=0.1)


def _status(call: Call) -> Call:
    """The status that a handshake is answered with: the errors tell the time, or a random key."""

    def run(address: str) -> Any:
        try:
            return call(address)
        except websockets.InvalidStatus as error:
            return error.response.status_code
        except websocket.WebSocketBadStatusException as error:
            return error.status_code
        except aiohttp.WSServerHandshakeError as error:
            return error.status

    return run


def _seen(path: str, *verbs: str, at: str = "") -> Callable[[str], Seen]:
    return lambda address: sorted(("http", f"{verb} ws://{at or address}{path}") for verb in verbs)


_ECHO = _seen("/echo", "connect", "send", "recv", "close")
_ALL = _seen("/twice", "connect", "recv", "recv", "recv")


def _moved(address: str) -> Seen:
    """The connection is to the first URL, and goes to where that led."""
    said = [call for call in _ECHO(address) if "connect" not in call[1]]
    return sorted([("http", f"connect ws://{address}/moved"), *said])


_SITUATIONS: tuple[tuple[str, str, Call, Callable[[str], Seen]], ...] = (
    ("websockets", "echo", returning("PRICE", _echo), _ECHO),
    ("websockets", "to the end", returning(["one", "two"], _all), _ALL),
    (
        "websockets",
        "timeout",
        raising(TimeoutError, _too_late),
        _seen("/silent", "connect", "recv", "close"),
    ),
    ("websockets", "reconnecting", returning("PRICE", _reconnecting), _ECHO),
    (
        "websockets",
        "error status",
        returning(403, _status(lambda at: _echo(at, "/refused"))),
        _seen("/refused", "connect"),
    ),
    (
        "websockets",
        "refused",
        raising(OSError, lambda _: _echo(_NOWHERE)),
        _seen("/echo", "connect", at=_NOWHERE),
    ),
    ("websockets async", "echo", returning("PRICE", _run(_echo_async)), _ECHO),
    ("websockets async", "awaited", returning("PRICE", _run(_echo_awaited)), _ECHO),
    ("websockets async", "to the end", returning(["one", "two"], _run(_all_async)), _ALL),
    (
        "websockets async",
        "redirect",
        returning("PRICE", _run(lambda at: _echo_async(at, "/moved"))),
        _moved,
    ),
    (
        "websockets async",
        "timeout",
        raising(TimeoutError, _run(_too_late_async)),
        _seen("/silent", "connect", "recv", "close"),
    ),
    (
        "websockets async",
        "error status",
        returning(403, _status(_run(lambda at: _echo_async(at, "/refused")))),
        _seen("/refused", "connect"),
    ),
    (
        "websockets async",
        "refused",
        raising(OSError, _run(lambda _: _echo_async(_NOWHERE))),
        _seen("/echo", "connect", at=_NOWHERE),
    ),
    ("websocket-client", "echo", returning("PRICE", _client), _ECHO),
    (
        "websocket-client",
        "app",
        returning(["one", "two"], _client_app),
        _seen("/twice", "connect", "recv", "recv", "close"),
    ),
    (
        "websocket-client",
        "timeout",
        raising(websocket.WebSocketTimeoutException, _client_too_late),
        _seen("/silent", "connect", "recv"),
    ),
    (
        "websocket-client",
        "error status",
        returning(403, _status(lambda at: _client(at, "/refused"))),
        _seen("/refused", "connect"),
    ),
    (
        "websocket-client",
        "refused",
        raising(OSError, lambda _: _client(_NOWHERE)),
        _seen("/echo", "connect", at=_NOWHERE),
    ),
    ("aiohttp", "echo", returning("PRICE", _run(_aiohttp)), _ECHO),
    ("aiohttp", "to the end", returning(["one", "two"], _run(_aiohttp_all)), _ALL),
    (
        "aiohttp",
        "timeout",
        raising(TimeoutError, _run(_aiohttp_too_late)),
        _seen("/silent", "connect", "recv", "close"),
    ),
    (
        "aiohttp",
        "error status",
        returning(403, _status(_run(lambda at: _aiohttp(at, "/refused")))),
        _seen("/refused", "connect"),
    ),
    (
        "aiohttp",
        "refused",
        raising(OSError, _run(lambda _: _aiohttp(_NOWHERE))),
        _seen("/echo", "connect", at=_NOWHERE),
    ),
)

SITUATIONS = [
    Situation(client, f"websocket {name}", "websocket_address", call, seen)
    for client, name, call, seen in _SITUATIONS
]
