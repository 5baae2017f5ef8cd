"""A real gRPC server on loopback, and stubs without generated code: bytes in, bytes out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc

DELAY = 0.05
"""Seconds that pass before `Slow` and the last part of `Trickle` are answered."""


def _echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    if request == b"unknown":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such product")
    return request.upper()


def _slow(request: bytes, context: grpc.ServicerContext) -> bytes:
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(60 if request == b"stall" else DELAY)
    return request.upper()


def _parts(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    yield b"one"
    yield b"two"
    if request == b"unknown":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such product")


def _trickle(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    yield b"first"
    threading.Event().wait(DELAY)  # a sleep would be a call of this process
    yield b"last"


def _join(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    return b"+".join(requests)


def _talk(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    for request in requests:
        yield request.upper()


@contextmanager
def grpc_server() -> Iterator[str]:
    """The service `shop.Prices` in threads: its address."""
    service = grpc.method_handlers_generic_handler(
        "shop.Prices",
        {
            "Echo": grpc.unary_unary_rpc_method_handler(_echo),
            "Slow": grpc.unary_unary_rpc_method_handler(_slow),
            "Parts": grpc.unary_stream_rpc_method_handler(_parts),
            "Trickle": grpc.unary_stream_rpc_method_handler(_trickle),
            "Join": grpc.stream_unary_rpc_method_handler(_join),
            "Talk": grpc.stream_stream_rpc_method_handler(_talk),
        },
    )
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait(60)


class Stubs(NamedTuple):
    """The methods of `shop.Prices` on a channel, of either kind."""

    echo: Any
    slow: Any
    parts: Any
    trickle: Any
    join: Any
    talk: Any


def stubs(channel: Any) -> Stubs:
    """As generated code makes them."""
    return Stubs(
        channel.unary_unary("/shop.Prices/Echo"),
        channel.unary_unary("/shop.Prices/Slow"),
        channel.unary_stream("/shop.Prices/Parts"),
        channel.unary_stream("/shop.Prices/Trickle"),
        channel.stream_unary("/shop.Prices/Join"),
        channel.stream_stream("/shop.Prices/Talk"),
    )
