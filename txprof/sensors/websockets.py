"""WebSocket clients. Connecting, each message sent or received, and closing are calls of their own.

They are HTTP's kind, as the request is that opens the connection: `send wss://api.example.com/feed`.
Receiving waits for the server to say something, however long that takes. Connections that this
process serves are none of its calls.
"""

from __future__ import annotations

from typing import Any

from txprof import collector
from txprof.around import Unstarted
from txprof.safety import drop_own_frame
from txprof.sensors.external import (
    Describe,
    Described,
    ExternalCall,
    awaited,
    watched,
    watched_coroutine,
)
from txprof.sensors.going_on import Awaitable
from txprof.sensors.http import http_call
from txprof.sensors.placing import Client, Target, only_where
from txprof.sensors.streams import keep, kept


def websocket_call(verb: str, url: str) -> Described | None:
    """send wss://api.example.com/feed, whether the URL is a WebSocket's or HTTP's"""
    scheme, colon, rest = url.partition(":")
    secure = {"ws": "", "http": "", "wss": "s", "https": "s"}.get(scheme.lower())
    call = None if secure is None else http_call(verb, f"http{secure}{colon}{rest}")
    if call is None:
        return None
    return call._replace(target=f"{verb} ws{call.target.partition(' http')[2]}")


# --- websockets ---------------------------------------------------------------------------------


def _connects(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    if kwargs.get("legacy") is False:
        return None  # gives something that connects later
    return websocket_call("connect", args[0] if args else kwargs["uri"])


def _connects_unix(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    uri = args[1] if len(args) > 1 else kwargs.get("uri")
    return _connects(None, (uri or "ws://localhost/",), kwargs)


def _reconnects(connecter: Any, _args: Any, _kwargs: Any) -> Described | None:
    return websocket_call("connect", connecter.uri)


def _says(verb: str) -> Describe:
    def describe(connection: Any, _args: Any, _kwargs: Any) -> Described | None:
        if verb != "recv" and connection.state.name != "OPEN":
            return None  # nothing goes out; what came in before is still to be received
        uri = connection.protocol.uri
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        return websocket_call(verb, f"ws{'s' * uri.secure}://{host}:{uri.port}{uri.resource_name}")

    return describe


@only_where(collector.watches)
def _await_connection(wrapped: Any, connecter: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    try:
        steps = wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    return awaited(Awaitable(steps), _reconnects, connecter, args, kwargs).__await__()


# --- websocket-client ---------------------------------------------------------------------------


def _client_connects(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    return websocket_call("connect", args[0] if args else kwargs["url"])


def _client_connected(call: ExternalCall, client: Any) -> None:
    keep(call, client)  # which does not know its own URL


def _client_says(verb: str) -> Describe:
    def describe(client: Any, _args: Any, _kwargs: Any) -> Described | None:
        if not client.connected:
            return None
        connection = kept(client)
        if connection is not None and connection.described is not None:
            url = connection.described.target.partition(" ")[2]
        else:  # connected where nobody watched
            host, port = client.sock.getpeername()[:2]
            name = f"[{host}]" if ":" in host else host
            url = f"ws{'s' * bool(client.is_ssl())}://{name}:{port}/"
        return websocket_call(verb, url)

    return describe


# --- aiohttp: its row is in `aiohttp` -----------------------------------------------------------


def aiohttp_connects(
    session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Described | None:
    """The connection that a session is asked for."""
    url = args[0] if args else kwargs["url"]
    try:
        url = session._build_url(url)  # private: respects `base_url`
    except Exception:  # no such URL: aiohttp will say so itself
        pass
    return websocket_call("connect", str(url))


def aiohttp_says(verb: str) -> Describe:
    """What is said on a connection of aiohttp's."""

    def describe(connection: Any, _args: Any, _kwargs: Any) -> Described | None:
        served = kept(connection)
        if connection.closed or (served is not None and served.described is None):
            return None
        return websocket_call(verb, str(connection._response.url))

    return describe


async def aiohttp_served_here(unstarted: Unstarted) -> Any:
    """A connection to a server of this process, for tests: what is said on it is no call."""
    silent = ExternalCall(None, [])
    silent.enter()
    try:
        connection = await unstarted.take()
    except BaseException as error:
        drop_own_frame(error)
        raise
    finally:
        silent.leave()
    keep(silent, connection)
    return connection


_SHOWN = "send wss://api.example.com/feed"

CLIENTS = (
    Client(
        "websockets",
        "http",
        _SHOWN,
        (
            Target("websockets.sync.client", "connect", watched(_connects)),
            Target("websockets.sync.client", "unix_connect", watched(_connects_unix)),
            Target(
                "websockets.sync.client", "reconnect.connect", watched(_reconnects), optional=True
            ),
            *(
                Target("websockets.sync.client", f"ClientConnection.{verb}", watched(_says(verb)))
                for verb in ("send", "recv", "close")
            ),
            Target("websockets.asyncio.client", "connect.__await__", _await_connection),
            *(
                Target(
                    "websockets.asyncio.client",
                    f"ClientConnection.{verb}",
                    watched_coroutine(_says(verb)),
                )
                for verb in ("send", "recv", "close")
            ),
        ),
    ),
    Client(
        "websocket-client",
        "http",
        _SHOWN,
        (
            Target(
                "websocket._core",
                "WebSocket.connect",
                watched(_client_connects, started=_client_connected),
            ),
            *(
                Target("websocket._core", f"WebSocket.{method}", watched(_client_says(verb)))
                for method, verb in (
                    ("send_frame", "send"),
                    ("recv_data_frame", "recv"),
                    ("close", "close"),
                )
            ),
        ),
    ),
)
