"""Servers that no sensor knows the protocol of, and who talks to them."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

Address = tuple[str, int]


class Echo(socketserver.StreamRequestHandler):
    """Answers each line in capitals; says nothing to "silence"."""

    def handle(self) -> None:
        for line in self.rfile:
            if line != b"silence\n":
                self.wfile.write(line.upper())


class EchoOnce(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


@contextmanager
def served(server: Any) -> Iterator[Any]:
    """The address of a server in a thread."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def shown(address: Address) -> str:
    """As a target of calls."""
    return f"socket {address[0]}:{address[1]}"


def talk(address: Address) -> bytes:
    """An exchange."""
    with closing(socket.create_connection(address, 60)) as sock:
        sock.sendall(b"price\n")
        return sock.recv(100)


async def by_streams(address: Address) -> bytes:
    """An exchange in asyncio."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"price\n")
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer
