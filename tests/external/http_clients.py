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
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import aiohttp
import httpx
import httpx2
import requests
import urllib3
from sqlalchemy import Connection, Engine, text

import txprof

Answer = tuple[int, bytes]


class Request(NamedTuple):
    """What to send; the answer is read in chunks if `stream` is set."""

    method: str
    url: str
    timeout: float = 5
    body: bytes | None = None
    headers: dict[str, str] | None = None
    stream: bool = False

    @property
    def path(self) -> str:
        """With the query."""
        parts = urlsplit(self.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")


Ask = Callable[[Request], Answer]


class Send(Protocol):
    """Send one request and read the answer; options are those of `Request`."""

    def __call__(self, method: str, url: str, **options: Any) -> Answer: ...


def _sending(ask: Ask) -> Send:
    return lambda method, url, **options: ask(Request(method, url, **options))


def _requests(asked: Request) -> Answer:
    with requests.Session() as session:
        response = session.request(
            asked.method,
            asked.url,
            timeout=asked.timeout,
            data=asked.body,
            headers=asked.headers,
            stream=asked.stream,
        )
        chunks = response.iter_content(4) if asked.stream else [response.content]
        return response.status_code, b"".join(chunks)


def _httpx(module: Any) -> Ask:
    def ask(asked: Request) -> Answer:
        what = {"content": asked.body, "headers": asked.headers}
        with module.Client(timeout=asked.timeout, verify=False, follow_redirects=True) as client:
            if not asked.stream:
                response = client.request(asked.method, asked.url, **what)
                return response.status_code, response.content
            with client.stream(asked.method, asked.url, **what) as response:
                return response.status_code, b"".join(response.iter_bytes(4))

    return ask


def _httpx_async(module: Any) -> Ask:
    async def ask(asked: Request) -> Answer:
        what = {"content": asked.body, "headers": asked.headers}
        async with module.AsyncClient(
            timeout=asked.timeout, verify=False, follow_redirects=True
        ) as client:
            if not asked.stream:
                response = await client.request(asked.method, asked.url, **what)
                return response.status_code, response.content
            async with client.stream(asked.method, asked.url, **what) as response:
                chunks = [chunk async for chunk in response.aiter_bytes(4)]
                return response.status_code, b"".join(chunks)

    return lambda asked: asyncio.run(ask(asked))


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


def _aiohttp(request: Callable[..., AbstractAsyncContextManager[aiohttp.ClientResponse]]) -> Ask:
    async def ask(asked: Request) -> Answer:
        total = aiohttp.ClientTimeout(asked.timeout)
        async with request(
            asked.method, asked.url, data=asked.body, headers=asked.headers, timeout=total
        ) as response:
            if not asked.stream:
                return response.status, await response.read()
            return response.status, b"".join([part async for part in response.content.iter_any()])

    return lambda asked: asyncio.run(ask(asked))


def _urllib3(client: Any, url: str, asked: Request) -> Answer:
    response = client.request(
        asked.method,
        url,
        timeout=asked.timeout,
        body=asked.body,
        headers=asked.headers,
        preload_content=not asked.stream,
    )
    return response.status, b"".join(response.stream(4)) if asked.stream else response.data


def _urllib3_manager(asked: Request) -> Answer:
    with urllib3.PoolManager() as manager:
        return _urllib3(manager, asked.url, asked)


def _urllib3_pool(asked: Request) -> Answer:
    with urllib3.connection_from_url(asked.url) as pool:
        return _urllib3(pool, asked.path, asked)


def _urllib_request(asked: Request) -> Answer:
    request = urllib.request.Request(
        asked.url, asked.body, asked.headers or {}, method=asked.method
    )
    try:
        with urllib.request.urlopen(request, timeout=asked.timeout) as response:
            return response.status, _read(response, asked.stream)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _http_client(asked: Request) -> Answer:
    parts = urlsplit(asked.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=asked.timeout)
    try:
        connection.request(asked.method, asked.path, asked.body, asked.headers or {})
        response = connection.getresponse()
        return response.status, _read(response, asked.stream)
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, stream: bool) -> bytes:
    return b"".join(iter(lambda: response.read(4), b"")) if stream else response.read()


_CLIENTS: dict[str, Ask] = {
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
CLIENTS: dict[str, Send] = {name: _sending(ask) for name, ask in _CLIENTS.items()}


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
