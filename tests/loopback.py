"""HTTP servers on loopback: what those of the tests share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Says nothing on stderr, and lets clients give up."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass  # the client gave up

    def log_message(self, *_: Any) -> None:
        pass


class Server:
    """Its address, and what it was asked for."""

    def __init__(self, handler: type[Handler], **state: Any) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.asked: list[str] = []
        self.stopped = threading.Event()
        """For answers that never come; set once nobody waits for them any more."""
        for name, value in {"asked": self.asked, "stopped": self.stopped, **state}.items():
            setattr(self._server, name, value)

    @contextmanager
    def running(self) -> Iterator[Server]:
        """The server, in a thread."""
        with self._server:
            thread = threading.Thread(target=self._server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                self.stopped.set()
                self._server.shutdown()
                thread.join()
