"""A WebSocket server on loopback: /echo, /twice (two messages, then the end), /silent; /refused
answers 403, /moved redirects to /echo.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import websockets
from websockets.sync.server import ServerConnection, serve


def _handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    try:
        if connection.request.path.startswith("/twice"):
            connection.send("one")
            connection.send("two")
        else:
            for message in connection:
                if not connection.request.path.startswith("/silent"):
                    connection.send(message.upper())
    except websockets.ConnectionClosed:
        pass  # the client went away


def _answer(connection: ServerConnection, request: Any) -> Any:
    if request.path.startswith("/refused"):
        return connection.respond(403, "no")
    if request.path.startswith("/moved"):
        moved = connection.respond(302, "there")
        moved.headers["Location"] = "/echo"
        return moved
    return None


@contextmanager
def websocket_server() -> Iterator[str]:
    """A server in threads: its address."""
    with serve(_handle, "127.0.0.1", 0, process_request=_answer, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()
