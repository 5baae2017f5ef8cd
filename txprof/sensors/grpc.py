"""gRPC, over sockets in C. Named by the method; a stub's channel may be older than the sensors.

A call is one from where it is made: what a future, a stream or an awaited call brings later goes on
with it, where it is waited for. An interceptor of the program's that calls again makes two.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from txprof.safety import drop_own_frame, note_once
from txprof.sensors.external import Described, watched
from txprof.sensors.going_on import goes_on, goes_on_awaited, goes_on_in_steps
from txprof.sensors.placing import Client, Target

_PORT = 443

_targets: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""What the channels of `grpc.aio` were made for: they keep it in C."""


def _described(method: Any, target: Any) -> Described:
    """grpc /billing.Billing/Charge"""
    return Described("rpc", f"grpc {_text(method)}", _host(_text(target)) if target else None)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _host(target: str) -> str:
    """The host of a target in gRPC's notation: dns:///name:port, ipv4:address:port, unix:path."""
    scheme, colon, rest = target.partition(":")
    if not colon or rest.isdigit() or "[" in scheme:
        rest = target  # a name, with a port or without
    if scheme in ("unix", "unix-abstract"):
        return rest
    name = rest.rpartition("/")[2].partition(",")[0]  # the first of several addresses
    has_port = name.endswith("]") if name.startswith("[") else ":" not in name
    return f"{name}:{_PORT}" if has_port else name


def _call(stub: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _described(stub._method, stub._target)  # private: each of grpc's has both


def _call_async(stub: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    channel = getattr(stub, "_python_channel", None)
    return _described(stub._method, None if channel is None else _targets.get(channel))


def _itself(call: Any) -> tuple[Any, ...]:
    return (call,)


def _new_channel(wrapped: Any, channel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        result = wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    try:
        _targets[channel] = _text(args[0] if args else kwargs["target"])
    except Exception as error:
        note_once("the target of a channel of grpc.aio", error)
    return result


_STUB = "MultiCallable"

CLIENTS = (
    Client(
        "grpcio",
        "rpc",
        "grpc /billing.Billing/Charge",
        (
            *(
                Target("grpc._channel", f"_{kind}{_STUB}.{method}", watched(_call, _itself))
                for kind, methods in (
                    ("UnaryUnary", ("__call__", "with_call", "future")),
                    ("UnaryStream", ("__call__",)),
                    ("SingleThreadedUnaryStream", ("__call__",)),
                    ("StreamUnary", ("__call__", "with_call", "future")),
                    ("StreamStream", ("__call__",)),
                )
                for method in methods
            ),
            *(
                Target("grpc._channel", f"{owner}.{method}", goes_on())
                for owner, methods in (
                    ("_MultiThreadedRendezvous", ("result", "exception", "traceback")),
                    ("_MultiThreadedRendezvous", ("_next",)),
                    ("_SingleThreadedRendezvous", ("_next",)),
                    ("_MultiThreadedRendezvous", ("initial_metadata", "trailing_metadata")),
                    ("_SingleThreadedRendezvous", ("initial_metadata", "trailing_metadata")),
                    ("_MultiThreadedRendezvous", ("code", "details")),
                    ("_SingleThreadedRendezvous", ("code", "details")),
                )
                for method in methods
            ),
            Target("grpc.aio._channel", "Channel.__init__", _new_channel),
            *(
                Target(
                    "grpc.aio._channel", f"{kind}{_STUB}.__call__", watched(_call_async, _itself)
                )
                for kind in ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
            ),
            *(
                Target(f"grpc.aio.{module}", f"{owner}.{method}", goes_on_in_steps)
                for module, owner, methods in (
                    ("_call", "Call", ("initial_metadata", "trailing_metadata")),
                    ("_call", "Call", ("code", "details")),
                    ("_call", "_StreamResponseMixin", ("_read",)),
                    ("_call", "_StreamRequestMixin", ("write", "done_writing")),
                    ("_interceptor", "InterceptedCall", ("initial_metadata", "trailing_metadata")),
                    ("_interceptor", "InterceptedCall", ("code", "details")),
                    ("_interceptor", "_InterceptedStreamResponseMixin", ("read",)),
                    (
                        "_interceptor",
                        "_InterceptedStreamResponseMixin",
                        ("_wait_for_interceptor_task_response_iterator",),
                    ),
                    ("_interceptor", "_InterceptedStreamRequestMixin", ("write", "done_writing")),
                )
                for method in methods
            ),
            Target("grpc.aio._call", "_UnaryResponseMixin.__await__", goes_on_awaited),
            Target(
                "grpc.aio._interceptor", "_InterceptedUnaryResponseMixin.__await__", goes_on_awaited
            ),
        ),
    ),
)
