"""Small servers on loopback for clients of other protocols than HTTP."""

from __future__ import annotations

import asyncio
import socketserver
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

import fakeredis
import redis
import redis.asyncio
from aiosmtpd.smtp import SMTP

REFUSED = "refused@example.com"
"""The mail server takes nothing for this one."""

KEY = f"txprof-{uuid.uuid4()}"
"""A key of these tests' own."""


def message(*, cc: str = "") -> EmailMessage:
    """A message to b@example.com."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "Hello"
    if cc:
        message["Cc"] = cc
    message.set_content("A secret body.")
    return message


class _Mailbox:
    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address == REFUSED:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 OK"


@contextmanager
def mail_server() -> Iterator[tuple[str, int]]:
    """A real SMTP server in a thread: its address."""
    loop = asyncio.new_event_loop()
    listening = threading.Event()
    address: list[tuple[str, int]] = []
    stopped = asyncio.Event()

    async def serve() -> None:
        server = await loop.create_server(
            lambda: SMTP(_Mailbox(), hostname="localhost", loop=loop), "127.0.0.1", 0
        )
        address.append(server.sockets[0].getsockname())
        listening.set()
        await stopped.wait()
        server.close()

    def run() -> None:
        loop.run_until_complete(serve())
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert listening.wait(60)
    yield address[0]
    loop.call_soon_threadsafe(stopped.set)
    thread.join()


class _Memcached(socketserver.StreamRequestHandler):
    """It holds nothing: `get` finds none, `set` and `delete` succeed, the rest is an error."""

    def handle(self) -> None:
        for line in self.rfile:
            command, *arguments = line.split()
            if command in (b"get", b"gets"):
                self.wfile.write(b"END\r\n")
            elif command == b"set":
                self.rfile.read(int(arguments[3]) + 2)
                self.wfile.write(b"STORED\r\n")
            elif command == b"delete":
                self.wfile.write(b"DELETED\r\n")
            else:
                self.wfile.write(b"CLIENT_ERROR of no use\r\n")


@contextmanager
def memcached_server() -> Iterator[tuple[str, int]]:
    """A server of memcached's protocol in a thread: its address."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Memcached)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address
    server.shutdown()
    server.server_close()
    thread.join()


class FakeServer:
    """Clients of one fake server."""

    def __init__(self) -> None:
        self._server = fakeredis.FakeServer()

    def client(self) -> Any:
        return fakeredis.FakeRedis(server=self._server)

    def async_client(self) -> Any:
        return fakeredis.FakeAsyncRedis(server=self._server)


class RealServer:
    """Clients of the server on this machine."""

    def client(self) -> Any:
        return redis.Redis(host="127.0.0.1", socket_timeout=10)

    def async_client(self) -> Any:
        return redis.asyncio.Redis(host="127.0.0.1", socket_timeout=10)
