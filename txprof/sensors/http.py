"""HTTP clients. Each is wrapped as high as callers call and above where tests mock it."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import urlsplit

from txprof import collector
from txprof.safety import drop_own_frame
from txprof.sensors.external import (
    Described,
    begin_described,
    may_begin,
    watched,
    watched_coroutine,
)
from txprof.sensors.going_on import goes_on, goes_on_in_steps
from txprof.sensors.placing import Client, Target, only_where
from txprof.sensors.streams import forget, keep, kept

_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
_PREFIXES = tuple(f"{scheme}://" for scheme in _DEFAULT_PORTS)


def http_call(method: str, url: str) -> Described | None:
    """POST https://host:port/path, without user info, query and fragment."""
    described, query = _parsed(method, url)
    if query and any(watcher.settings.url_query for watcher in collector.active()):
        return described and described._replace(target=described.target + query)
    return described


@functools.lru_cache(maxsize=1_024)
def _parsed(method: str, url: str) -> tuple[Described | None, str]:
    """The call without its query, and the query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # no port, no address: the client will say so itself
        return None, ""
    own = _DEFAULT_PORTS.get(parts.scheme)
    if own is None:
        return None, ""  # file:, data:, a mock's own
    port = own if port is None else port
    where = (f"[{host}]" if ":" in host else host) + (f":{port}" if port != own else "")
    target = f"{method.upper()} {parts.scheme}://{where}{parts.path or '/'}"
    return Described("http", target, f"{host}:{port}"), parts.query and f"?{parts.query}"


def _is_in_process(transport: Any) -> bool:
    """Whether it calls an application here: no external call, though what that does may be one.

    Told by the transport, not by the client: a test client may carry a real one, and any client
    may be given one of these. All of them carry the application that they call.
    """
    return callable(getattr(transport, "__dict__", {}).get("app"))


def _requests_send(session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    request = args[0] if args else kwargs["request"]
    try:
        adapter = session.get_adapter(request.url)
    except Exception:  # no adapter for this scheme: requests will say so itself
        adapter = None
    if _is_in_process(adapter):
        return None
    return http_call(request.method, request.url)


def _requests_mock(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    request = args[0] if args else kwargs["request"]
    return http_call(request.method, request.url)


def _httpx_send(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    request = args[0] if args else kwargs["request"]
    return httpx_call(client, request.method, request.url)


def httpx_call(client: Any, method: str, url: Any) -> Described | None:
    """What a client of httpx asks for; None if that is in this process."""
    try:
        transport = client._transport_for_url(url)  # private: respects mounts
    except Exception:
        transport = getattr(client, "_transport", None)
    if _is_in_process(transport):
        return None
    return http_call(method, str(url))


def _urllib3_request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    return http_call(*_method_and_url(args, kwargs))


def _urllib3_urlopen(pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    method, url = _method_and_url(args, kwargs)
    return _call_to(pool.scheme, pool.host, pool.port, method, url)


def _urllib_open(_opener: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    request = args[0] if args else kwargs["fullurl"]
    data = args[1] if len(args) > 1 else kwargs.get("data")
    if isinstance(request, str):
        return http_call("GET" if data is None else "POST", request)
    method = request.get_method()
    return http_call("POST" if method == "GET" and data is not None else method, request.full_url)


def _http_client(
    connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Described | None:
    method, url = _method_and_url(args, kwargs)
    scheme = "https" if connection.default_port == 443 else "http"
    host = getattr(connection, "_tunnel_host", None) or connection.host
    port = getattr(connection, "_tunnel_port", None) or connection.port
    return _call_to(scheme, host, port, method, url)


def _method_and_url(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, str]:
    return (
        args[0] if args else kwargs["method"],
        args[1] if len(args) > 1 else kwargs["url"],
    )


def _call_to(scheme: str, host: str, port: int | None, method: str, url: str) -> Described | None:
    if url.startswith(_PREFIXES):  # through a forwarding proxy the whole URL is the path
        return http_call(method, url)
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    where = name if port is None else f"{name}:{port}"
    return http_call(method, f"{scheme}://{where}{'' if url.startswith('/') else '/'}{url}")


@only_where(lambda connection: kept(connection) or may_begin(connection))
def _putrequest(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # http.client spreads one exchange over several methods: it starts with this one, and goes on
    # in the others.
    forget(instance)
    call = begin_described(_http_client, instance, args, kwargs)
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    finally:
        if call is not None:
            call.leave()
            keep(call, instance)


def _itself(response: Any) -> tuple[Any, ...]:
    return (response,)


def _unread(response: Any) -> tuple[Any, ...]:
    return () if response.is_closed else (response,)


def _raw(response: Any) -> tuple[Any, ...]:
    return (response.raw,)


def _httpx(module: str) -> Client:
    return Client(
        module,
        "http",
        "POST https://api.openai.com/v1/chat/completions",
        (
            Target(module, "Client.send", watched(_httpx_send, _unread)),
            Target(module, "AsyncClient.send", watched_coroutine(_httpx_send, _unread)),
            Target(module, "Response.iter_raw", goes_on_in_steps),
            Target(module, "Response.aiter_raw", goes_on_in_steps),
        ),
    )


CLIENTS = (
    Client(
        "requests",
        "http",
        "GET https://example.com/ok",
        (
            Target("requests.sessions", "Session.send", watched(_requests_send, _raw)),
            # requests-mock goes by the Session.send that it saw when it was imported, before us
            # perhaps.
            Target("requests_mock.adapter", "Adapter.send", watched(_requests_mock)),
        ),
    ),
    _httpx("httpx"),
    _httpx("httpx2"),
    Client(
        "urllib3",
        "http",
        "GET https://example.com/ok",
        (
            # PoolManager follows redirects, HTTPConnectionPool retries.
            Target(
                "urllib3.poolmanager", "PoolManager.urlopen", watched(_urllib3_request, _itself)
            ),
            Target(
                "urllib3.connectionpool",
                "HTTPConnectionPool.urlopen",
                watched(_urllib3_urlopen, _itself),
            ),
            Target("urllib3.response", "HTTPResponse.read", goes_on()),
            Target("urllib3.response", "HTTPResponse.read1", goes_on()),
            Target("urllib3.response", "HTTPResponse.read_chunked", goes_on_in_steps),
        ),
    ),
    Client(
        "urllib.request",
        "http",
        "GET https://example.com/ok",
        (Target("urllib.request", "OpenerDirector.open", watched(_urllib_open, _itself)),),
    ),
    Client(
        "http.client",
        "http",
        "GET https://example.com/ok",
        (
            Target("http.client", "HTTPConnection.putrequest", _putrequest),
            Target("http.client", "HTTPConnection.endheaders", goes_on()),
            Target("http.client", "HTTPConnection.send", goes_on()),
            Target("http.client", "HTTPConnection.getresponse", goes_on(_itself)),
            *(
                Target("http.client", f"HTTPResponse.{method}", goes_on())
                for method in ("read", "read1", "readinto", "readline")
            ),
        ),
    ),
)
