"""One way to call for every HTTP client, and what a call came to."""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import traceback
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import requests
import urllib3
from sqlalchemy import Connection, Engine, text

import txprof

Answer = tuple[int, bytes]


class Send(Protocol):
    """Send one request and read the answer; in chunks if `stream` is set."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        timeout: float = 5,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Answer: ...


def _requests(
    method: str,
    url: str,
    *,
    timeout: float = 5,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    stream: bool = False,
) -> Answer:
    with requests.Session() as session:
        response = session.request(
            method, url, timeout=timeout, data=body, headers=headers, stream=stream
        )
        chunks = response.iter_content(4) if stream else [response.content]
        return response.status_code, b"".join(chunks)


def _httpx(module: Any) -> Send:
    def send(
        method: str,
        url: str,
        *,
        timeout: float = 5,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Answer:
        with module.Client(timeout=timeout, verify=False, follow_redirects=True) as client:
            if not stream:
                response = client.request(method, url, content=body, headers=headers)
                return response.status_code, response.content
            with client.stream(method, url, content=body, headers=headers) as response:
                return response.status_code, b"".join(response.iter_bytes(4))

    return send


def _httpx_async(module: Any) -> Send:
    async def request(
        method: str,
        url: str,
        timeout: float,
        body: bytes | None,
        headers: dict[str, str] | None,
        stream: bool,
    ) -> Answer:
        async with module.AsyncClient(
            timeout=timeout, verify=False, follow_redirects=True
        ) as client:
            if not stream:
                response = await client.request(method, url, content=body, headers=headers)
                return response.status_code, response.content
            async with client.stream(method, url, content=body, headers=headers) as response:
                chunks = [chunk async for chunk in response.aiter_bytes(4)]
                return response.status_code, b"".join(chunks)

    def send(
        method: str,
        url: str,
        *,
        timeout: float = 5,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Answer:
        return asyncio.run(request(method, url, timeout, body, headers, stream))

    return send


@asynccontextmanager
async def _aiohttp_entered(*args: Any, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.request(*args, **options) as response:
        yield response


@asynccontextmanager
async def _aiohttp_awaited(*args: Any, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session:
        response = await session.request(*args, **options)
        try:
            yield response
        finally:
            response.release()


def _aiohttp(ask: Callable[..., AbstractAsyncContextManager[aiohttp.ClientResponse]]) -> Send:
    async def request(
        method: str,
        url: str,
        timeout: float,
        body: bytes | None,
        headers: dict[str, str] | None,
        stream: bool,
    ) -> Answer:
        total = aiohttp.ClientTimeout(timeout)
        async with ask(method, url, data=body, headers=headers, timeout=total) as response:
            if not stream:
                return response.status, await response.read()
            return response.status, b"".join([part async for part in response.content.iter_any()])

    def send(
        method: str,
        url: str,
        *,
        timeout: float = 5,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
    ) -> Answer:
        return asyncio.run(request(method, url, timeout, body, headers, stream))

    return send


def _urllib3(request: Callable[..., urllib3.BaseHTTPResponse], stream: bool) -> Answer:
    response = request(preload_content=not stream)
    return response.status, b"".join(response.stream(4)) if stream else response.data


def _urllib3_manager(
    method: str,
    url: str,
    *,
    timeout: float = 5,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    stream: bool = False,
) -> Answer:
    with urllib3.PoolManager() as manager:
        return _urllib3(
            lambda **options: manager.request(
                method, url, timeout=timeout, body=body, headers=headers, **options
            ),
            stream,
        )


def _urllib3_pool(
    method: str,
    url: str,
    *,
    timeout: float = 5,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    stream: bool = False,
) -> Answer:
    with urllib3.connection_from_url(url) as pool:
        return _urllib3(
            lambda **options: pool.request(
                method, _path(url), timeout=timeout, body=body, headers=headers, **options
            ),
            stream,
        )


def _urllib_request(
    method: str,
    url: str,
    *,
    timeout: float = 5,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    stream: bool = False,
) -> Answer:
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, _read(response, stream)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _http_client(
    method: str,
    url: str,
    *,
    timeout: float = 5,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    stream: bool = False,
) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request(method, _path(url), body, headers or {})
        response = connection.getresponse()
        return response.status, _read(response, stream)
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, stream: bool) -> bytes:
    return b"".join(iter(lambda: response.read(4), b"")) if stream else response.read()


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


CLIENTS: dict[str, Send] = {
    "requests": _requests,
    "httpx": _httpx(httpx),
    "httpx async": _httpx_async(httpx),
    "httpx2": _httpx(httpx2),
    "httpx2 async": _httpx_async(httpx2),
    "aiohttp": _aiohttp(_aiohttp_entered),
    "aiohttp awaited": _aiohttp(_aiohttp_awaited),
    "aiohttp.request": _aiohttp(lambda *args, **options: aiohttp.request(*args, **options)),
    "urllib3": _urllib3_manager,
    "urllib3 pool": _urllib3_pool,
    "urllib.request": _urllib_request,
    "http.client": _http_client,
}


REFUSED = (OSError, httpx.ConnectError, httpx2.ConnectError, urllib3.exceptions.MaxRetryError)
TIMED_OUT = (OSError, httpx.TimeoutException, httpx2.TimeoutException, urllib3.exceptions.HTTPError)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that is open on the database: it has run a statement."""
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        yield connection


def unused_port() -> int:
    """A port of 127.0.0.1 and ::1 at which nobody answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returned, or what the whole chain of its exception tells: type, args, frames."""
    try:
        return "returned", call()
    except Exception as error:
        return "raised", [_told(each) for each in _chain(error)]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _told(error: BaseException) -> tuple[Any, ...]:
    frames = [
        (frame.filename, frame.lineno, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return type(error), re.sub(r"\b(0x)?[0-9a-f]{9,}\b", "<id>", repr(error.args)), frames


def everything_said(profile: txprof.Profile, folder: Path) -> str:
    """All that a profile tells anybody: its findings, its report, its recording."""
    recording = folder / "calls.txprof"
    profile.save(recording)
    return f"{profile.findings}{profile.to_dict()}{profile.render()}{recording.read_text()}"
