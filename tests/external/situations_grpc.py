"""What programs do with gRPC: every kind of method, in threads and in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import grpc.experimental
from expecting import Call, raising, returning
from grpc_server import Stubs, stubs
from situations import Situation

_NOWHERE = "127.0.0.1:1"  # a port of loopback where nobody listens


class _Retrying(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """An interceptor as programs have them: passes everything on."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details, request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details, request)


class _RetryingAsync(
    grpc.aio.UnaryUnaryClientInterceptor,  # type: ignore[misc]
):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)


class _StreamingAsync(
    grpc.aio.UnaryStreamClientInterceptor,  # type: ignore[misc]
):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(details, request)


def _with_stubs(ask: Callable[[Stubs], Any], target: str = "", *options: Any) -> Call:
    def call(address: str) -> Any:
        with grpc.insecure_channel(target or address, options=options) as channel:
            return ask(stubs(channel))

    return call


def _intercepted(ask: Callable[[Stubs], Any]) -> Call:
    def call(address: str) -> Any:
        with grpc.insecure_channel(address) as channel:
            return ask(stubs(grpc.intercept_channel(channel, _Retrying())))

    return call


def _with_async_stubs(
    ask: Callable[[Stubs], Awaitable[Any]], target: str = "", *interceptors: Any
) -> Call:
    async def run(address: str) -> Any:
        async with grpc.aio.insecure_channel(address, interceptors=interceptors) as channel:
            return await ask(stubs(channel))

    return lambda address: asyncio.run(run(target or address))


def _requests() -> Iterator[bytes]:
    yield b"a"
    yield b"b"


def _with_call(on: Stubs) -> Any:
    answer, call = on.echo.with_call(b"price")
    return answer, call.code().name


def _future(on: Stubs) -> Any:
    future = on.echo.future(b"price")
    return future.result(timeout=10), future.exception(), future.code().name


def _failed_future(on: Stubs) -> Any:
    return on.echo.future(b"unknown").exception(timeout=10).details()


def _until_an_error(on: Stubs) -> Any:
    try:
        return list(on.parts(b"unknown"))
    except grpc.RpcError as error:  # raised from one of two lines, as its threads go
        return error.code().name


def _single_threaded(on: Stubs) -> Any:
    call = on.parts(b"price")
    return list(call), call.code().name


async def _awaited(on: Stubs) -> Any:
    call = on.echo(b"price")
    return await call, (await call.code()).name


async def _iterated(on: Stubs) -> Any:
    return [part async for part in on.parts(b"price")]


async def _iterated_until_an_error(on: Stubs) -> Any:
    return [part async for part in on.parts(b"unknown")]


async def _read(on: Stubs) -> Any:
    call = on.parts(b"price")
    found = []
    while (part := await call.read()) is not grpc.aio.EOF:
        found.append(part)
    return found


async def _joined(on: Stubs) -> Any:
    return await on.join(_requests())


async def _written(on: Stubs) -> Any:
    call = on.join()
    for request in _requests():
        await call.write(request)
    await call.done_writing()
    return await call


async def _talked(on: Stubs) -> Any:
    call = on.talk()
    answers = []
    for request in _requests():
        await call.write(request)
        answers.append(await call.read())
    await call.done_writing()
    return answers, (await call.code()).name


async def _gathered(on: Stubs) -> Any:
    return await asyncio.gather(on.echo(b"a"), on.echo(b"b"))


_SINGLE = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)

_SITUATIONS: tuple[tuple[str, Call, list[str]], ...] = (
    ("unary", returning(b"PRICE", _with_stubs(lambda on: on.echo(b"price"))), ["Echo"]),
    ("with_call", returning((b"PRICE", "OK"), _with_stubs(_with_call)), ["Echo"]),
    ("future", returning((b"PRICE", None, "OK"), _with_stubs(_future)), ["Echo"]),
    ("future that fails", returning("no such product", _with_stubs(_failed_future)), ["Echo"]),
    (
        "server stream",
        returning([b"one", b"two"], _with_stubs(lambda on: list(on.parts(b"price")))),
        ["Parts"],
    ),
    (
        "server stream in one thread",
        returning(([b"one", b"two"], "OK"), _with_stubs(_single_threaded, "", _SINGLE)),
        ["Parts"],
    ),
    ("client stream", returning(b"a+b", _with_stubs(lambda on: on.join(_requests()))), ["Join"]),
    (
        "client stream with_call",
        returning(b"a+b", _with_stubs(lambda on: on.join.with_call(_requests())[0])),
        ["Join"],
    ),
    (
        "client stream future",
        returning(b"a+b", _with_stubs(lambda on: on.join.future(_requests()).result(10))),
        ["Join"],
    ),
    (
        "both stream",
        returning([b"A", b"B"], _with_stubs(lambda on: list(on.talk(_requests())))),
        ["Talk"],
    ),
    (
        "error status",
        raising(grpc.RpcError, _with_stubs(lambda on: on.echo(b"unknown")), "NOT_FOUND"),
        ["Echo"],
    ),
    (
        "error within a stream",
        returning("NOT_FOUND", _with_stubs(_until_an_error)),
        ["Parts"],
    ),
    (
        "refused",
        raising(grpc.RpcError, _with_stubs(lambda on: on.echo(b"a"), _NOWHERE), "UNAVAILABLE"),
        ["Echo"],
    ),
    (
        "timeout",
        raising(
            grpc.RpcError,
            _with_stubs(lambda on: on.slow(b"stall", timeout=0.2)),
            "DEADLINE_EXCEEDED",
        ),
        ["Slow"],
    ),
    (
        "a bad argument",
        raising(TypeError, _with_stubs(lambda on: on.echo(b"a", nothing=1)), "nothing"),
        ["Echo"],
    ),
    (
        "two calls",
        returning(b"B", _with_stubs(lambda on: on.echo(b"a") and on.echo(b"b"))),
        ["Echo"] * 2,
    ),
    ("intercepted", returning(b"PRICE", _intercepted(lambda on: on.echo(b"price"))), ["Echo"]),
    (
        "intercepted stream",
        returning([b"one", b"two"], _intercepted(lambda on: list(on.parts(b"price")))),
        ["Parts"],
    ),
    ("async unary", returning((b"PRICE", "OK"), _with_async_stubs(_awaited)), ["Echo"]),
    ("async server stream", returning([b"one", b"two"], _with_async_stubs(_iterated)), ["Parts"]),
    ("async server stream read", returning([b"one", b"two"], _with_async_stubs(_read)), ["Parts"]),
    ("async client stream", returning(b"a+b", _with_async_stubs(_joined)), ["Join"]),
    ("async client stream written", returning(b"a+b", _with_async_stubs(_written)), ["Join"]),
    ("async both stream", returning(([b"A", b"B"], "OK"), _with_async_stubs(_talked)), ["Talk"]),
    ("async gather", returning([b"A", b"B"], _with_async_stubs(_gathered)), ["Echo", "Echo"]),
    (
        "async error status",
        raising(grpc.RpcError, _with_async_stubs(lambda on: on.echo(b"unknown")), "NOT_FOUND"),
        ["Echo"],
    ),
    (
        "async error within a stream",
        raising(grpc.RpcError, _with_async_stubs(_iterated_until_an_error), "NOT_FOUND"),
        ["Parts"],
    ),
    (
        "async refused",
        raising(
            grpc.RpcError, _with_async_stubs(lambda on: on.echo(b"a"), _NOWHERE), "UNAVAILABLE"
        ),
        ["Echo"],
    ),
    (
        "async timeout",
        raising(
            grpc.RpcError,
            _with_async_stubs(lambda on: on.slow(b"stall", timeout=0.2)),
            "DEADLINE_EXCEEDED",
        ),
        ["Slow"],
    ),
    (
        "async intercepted",
        returning((b"PRICE", "OK"), _with_async_stubs(_awaited, "", _RetryingAsync())),
        ["Echo"],
    ),
    (
        "async intercepted stream",
        returning([b"one", b"two"], _with_async_stubs(_iterated, "", _StreamingAsync())),
        ["Parts"],
    ),
    (
        "async intercepted stream read",
        returning([b"one", b"two"], _with_async_stubs(_read, "", _StreamingAsync())),
        ["Parts"],
    ),
)

SITUATIONS = [
    Situation(
        "grpcio",
        name,
        "grpc_address",
        call,
        lambda _, methods=methods: [("rpc", f"grpc /shop.Prices/{method}") for method in methods],
    )
    for name, call, methods in _SITUATIONS
]
