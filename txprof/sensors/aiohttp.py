"""aiohttp's client. Mocks replace `_request`, which is beneath the verbs that callers use."""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from weakref import WeakValueDictionary

from txprof import collector
from txprof.around import Unstarted, Wrapper
from txprof.safety import drop_own_frame, note_once
from txprof.sensors import http, placing, websockets
from txprof.sensors.external import Described, awaited, in_process, watched_coroutine
from txprof.sensors.going_on import goes_on_in_steps
from txprof.sensors.placing import Client, Target


def _request(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    named = [kwargs[name] for name in ("method", "str_or_url", "url") if name in kwargs]
    method, url, *_ = *args, *named
    try:
        if session is not None:
            url = session._build_url(url)  # private: respects `base_url`
        if kwargs.get("params"):
            url = url.update_query(kwargs["params"])
    except Exception:  # no such URL: aiohttp will say so itself
        pass
    return http.http_call(method, str(url))


def _verb(*method: str) -> Wrapper:
    """A wrap of what gives out a context object around the coroutine of `_request`.

    It reports the call only where something else, a mock, stands in the place of `_request`: a
    session that answers some requests from a cache makes no call for these.
    """

    def describe(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
        return _request(session, (*method, *args), kwargs)

    @placing.only_where(collector.watches)
    def sensor(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            context = wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        try:
            # private: both kinds of context have it
            coroutine = context._coro if _is_mocked() else None
        except Exception as error:
            note_once("the context of a request", error)
        else:
            if asyncio.iscoroutine(coroutine):
                context._coro = awaited(coroutine, describe, session, args, kwargs, body)
        return context

    return sensor


def _is_mocked() -> bool:
    session = getattr(sys.modules.get("aiohttp.client"), "ClientSession", None)
    return isinstance(session, type) and not placing.is_in(session, "_request")


_responses: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""By the id of the stream of its body, which has no room for a call."""


def body(response: Any) -> tuple[Any, ...]:
    """The response, which a call goes on in while its body is read."""
    _responses[id(response.content)] = response
    return (response,)


def _response_of(stream: Any) -> Any:
    response = _responses.get(id(stream))
    return None if response is None or response.content is not stream else response


@placing.only_where(lambda stream: _response_of(stream) is not None)
def _read(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    response = _response_of(stream)
    try:
        if response is None:
            return wrapped(*args, **kwargs)
        return goes_on_in_steps(wrapped, response, args, kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise


def _connect_here(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    try:
        coroutine = wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    if not collector.active():
        return coroutine
    return websockets.aiohttp_served_here(Unstarted(coroutine))


CLIENTS = (
    Client(
        "aiohttp",
        "http",
        "GET https://example.com/ok",
        (
            Target("aiohttp.client", "ClientSession._request", watched_coroutine(_request, body)),
            Target("aiohttp.client", "ClientSession.request", _verb()),
            *(
                Target("aiohttp.client", f"ClientSession.{verb}", _verb(verb))
                for verb in ("get", "options", "head", "post", "put", "patch", "delete")
            ),
            Target("aiohttp", "request", _verb()),
            *(
                Target("aiohttp.streams", f"StreamReader.{method}", _read)
                for method in (
                    "read",
                    "readany",
                    "readchunk",
                    "readline",
                    "readuntil",
                    "readexactly",
                )
            ),
            Target(
                "aiohttp.client",
                "ClientSession._ws_connect",
                watched_coroutine(websockets.aiohttp_connects),
            ),
            *(
                Target(
                    "aiohttp.client_ws",
                    f"ClientWebSocketResponse.{method}",
                    watched_coroutine(websockets.aiohttp_says(verb)),
                )
                for method, verb in (
                    ("send_str", "send"),
                    ("send_bytes", "send"),
                    ("receive", "recv"),
                    ("close", "close"),
                )
            ),
            # It goes over a socket, to an application that is served by this very process.
            Target("aiohttp.test_utils", "TestClient._request", in_process),
            Target("aiohttp.test_utils", "TestClient._ws_connect", _connect_here),
        ),
    ),
)
