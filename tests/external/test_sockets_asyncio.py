"""Sockets of clients that no sensor knows, in asyncio: streams, protocols and the loop itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
from echo import Address, by_streams, shown
from helpers import assert_flagged, calls_seen, line_of
from http_clients import transaction
from sqlalchemy import Engine

import txprof

pytestmark = pytest.mark.usefixtures("taken_out")


async def by_streams_later(address: Address) -> bytes:
    reader, writer = await asyncio.streams.open_connection(host=address[0], port=address[1])
    writer.writelines([b"pri", b"ce\n"])
    answer = await reader.readexactly(6)
    writer.close()
    await writer.wait_closed()
    return answer


async def by_loop(address: Address) -> bytes:
    loop = asyncio.get_running_loop()
    with closing(socket.socket()) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, b"price\n")
        return await loop.sock_recv(sock, 100)


async def by_protocol(address: Address) -> bytes:
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Ask(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.write(b"price\n")

        def data_received(self, data: bytes) -> None:
            answered.set_result(data)

    transport, _ = await asyncio.get_running_loop().create_connection(Ask, *address)
    answer = await answered
    transport.close()
    return answer


@pytest.mark.parametrize("ask", [by_streams, by_streams_later, by_loop, by_protocol])
def test_an_exchange_in_asyncio_is_one_call(
    engine: Engine, echo: Address, ask: Callable[[Address], Awaitable[bytes]]
) -> None:
    async def work() -> None:
        with transaction(engine):
            assert await ask(echo) == b"PRICE\n"

    with txprof.profile(sockets=True) as prof:
        asyncio.run(work())
    finding = assert_flagged(prof, "io-in-transaction", count=1)
    assert finding.details["target"] == shown(echo)
    assert calls_seen(prof) == [("socket", shown(echo), 1)]


def test_an_answer_awaited_in_a_later_transaction_is_a_finding_there(
    engine: Engine, echo: Address
) -> None:
    async def work() -> None:
        reader, writer = await asyncio.open_connection(*echo)
        for _ in range(2):
            writer.write(b"price\n")
            with transaction(engine):
                assert await reader.readline() == b"PRICE\n"  # wait
        writer.close()
        await writer.wait_closed()

    with txprof.profile(sockets=True) as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=2)
    assert calls_seen(prof) == [("socket", shown(echo), 2)]


def test_a_stream_that_raises_is_not_opened(engine: Engine, echo: Address) -> None:
    with txprof.profile(sockets=True, on_finding="raise"), transaction(engine):
        for ask in (by_streams, by_loop, by_protocol):
            with (
                pytest.warns(txprof.TransactionHygieneWarning),
                pytest.raises(txprof.TransactionHygieneError),
            ):
                asyncio.run(ask(echo))
