"""The ways in which every HTTP client lets a body be read after its call returned."""

from __future__ import annotations

import asyncio
import http.client
import urllib.request
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from contextvars import copy_context
from typing import Any

import aiohttp
import httpx
import httpx2
import requests
import urllib3

BODY = b"first last"

Read = Callable[[], bytes]

Opened = Callable[[str], AbstractContextManager[Read]]
"""Asks for the body of a URL and gives what reads it."""


@contextmanager
def requests_iter(url: str) -> Iterator[Read]:
    with requests.get(url, stream=True, timeout=5) as response:
        yield lambda: b"".join(response.iter_content(4))


@contextmanager
def requests_raw(url: str) -> Iterator[Read]:
    with requests.get(url, stream=True, timeout=5) as response:
        yield lambda: response.raw.read()


def _httpx_iter(module: Any) -> Opened:
    @contextmanager
    def opened(url: str) -> Iterator[Read]:
        with module.Client(verify=False) as client, client.stream("GET", url) as response:
            yield lambda: b"".join(response.iter_bytes())

    return opened


@contextmanager
def _httpx_read(url: str) -> Iterator[Read]:
    with httpx.Client(verify=False) as client, client.stream("GET", url) as response:
        yield response.read


@contextmanager
def _urllib3_stream(url: str) -> Iterator[Read]:
    with urllib3.PoolManager() as manager:
        response = manager.request("GET", url, preload_content=False)
        with closing(response):
            yield lambda: b"".join(response.stream(4))


@contextmanager
def _urllib3_read(url: str) -> Iterator[Read]:
    with urllib3.PoolManager() as manager:
        response = manager.request("GET", url, preload_content=False)
        with closing(response):
            yield response.read


@contextmanager
def _urllib3_read1(url: str) -> Iterator[Read]:
    with urllib3.PoolManager() as manager:
        response = manager.request("GET", url, preload_content=False)
        with closing(response):
            yield lambda: b"".join(iter(response.read1, b""))


def _urllib(read: Callable[[Any], bytes]) -> Opened:
    @contextmanager
    def opened(url: str) -> Iterator[Read]:
        with urllib.request.urlopen(url, timeout=5) as response:
            yield lambda: read(response)

    return opened


def _readinto(response: Any) -> bytes:
    buffer, body = bytearray(4), b""
    while count := response.readinto(buffer):
        body += buffer[:count]
    return body


@contextmanager
def _http_client(url: str) -> Iterator[Read]:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    with closing(connection):
        connection.request("GET", f"/{path}")
        with connection.getresponse() as response:
            yield response.read


def _aiohttp(
    read: Callable[[aiohttp.ClientResponse], Awaitable[bytes]],
) -> Opened:
    @contextmanager
    def opened(url: str) -> Iterator[Read]:
        def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
            return runner.run(coroutine, context=copy_context())

        async def new_session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession()

        async def body() -> bytes:
            return await read(response)

        with asyncio.Runner() as runner:
            session = run(new_session())
            with closing(run(session.get(url))) as response:
                try:
                    yield lambda: run(body())
                finally:
                    run(session.close())

    return opened


async def _joined(parts: AsyncIterable[bytes]) -> bytes:
    return b"".join([part async for part in parts])


async def _read_any(response: aiohttp.ClientResponse) -> bytes:
    return await response.content.readany() + await response.content.readany()


async def _read_chunks(response: aiohttp.ClientResponse) -> bytes:
    return b"".join([part async for part, _ in response.content.iter_chunks()])


OPENERS: dict[str, Opened] = {
    "requests iter_content": requests_iter,
    "requests raw": requests_raw,
    "httpx": _httpx_iter(httpx),
    "httpx read": _httpx_read,
    "httpx2": _httpx_iter(httpx2),
    "urllib3 stream": _urllib3_stream,
    "urllib3 read": _urllib3_read,
    "urllib3 read1": _urllib3_read1,
    "urllib read": _urllib(lambda response: response.read()),
    "urllib read1": _urllib(lambda response: b"".join(iter(response.read1, b""))),
    "urllib readinto": _urllib(_readinto),
    "urllib lines": _urllib(b"".join),
    "http.client": _http_client,
    "aiohttp read": _aiohttp(lambda response: response.read()),
    "aiohttp content": _aiohttp(lambda response: response.content.read()),
    "aiohttp readany": _aiohttp(_read_any),
    "aiohttp readexactly": _aiohttp(lambda response: response.content.readexactly(len(BODY))),
    "aiohttp readuntil": _aiohttp(lambda response: response.content.readuntil(b"last")),
    "aiohttp lines": _aiohttp(lambda response: _joined(response.content)),
    "aiohttp iter_any": _aiohttp(lambda response: _joined(response.content.iter_any())),
    "aiohttp iter_chunked": _aiohttp(lambda response: _joined(response.content.iter_chunked(4))),
    "aiohttp iter_chunks": _aiohttp(_read_chunks),
}
