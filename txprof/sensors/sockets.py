"""Sockets, for clients that no sensor knows. Only under the setting `sockets`; else not wrapped.

One exchange is one call: connecting and what follows, or the first that is sent after an answer,
until the last that is received before more is sent. Only what connected while the sensors were in
is followed: so what was accepted or paired (pipes of event loops) is not; nor is what connected
below another sensor, or for SQLAlchemy, whose drivers' statements are no calls. Event loops drive
sockets that do not block: those are followed in asyncio's own functions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from txprof import callsite, collector
from txprof.around import Unstarted, Wrapper
from txprof.safety import drop_own_frame, note_once
from txprof.sensors import by_name, placing
from txprof.sensors.external import Described, ExternalCall, begin_described, is_nested
from txprof.sensors.going_on import resumed
from txprof.sensors.placing import Client, Target
from txprof.sensors.streams import forget, keep, kept


class _Exchange:
    """A connection, and whose turn it is to speak."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.answered = False

    def speak(self) -> ExternalCall | None:
        """We send: what follows an answer is a new call."""
        if is_nested():
            return None
        if self.answered:
            self.answered = False
            forget(self)
        return self.go_on()

    def listen(self) -> ExternalCall | None:
        """We receive."""
        if is_nested():
            return None
        self.answered = True
        return self.go_on()

    def go_on(self) -> ExternalCall | None:
        """The call that is under way, or a new one."""
        if kept(self) is not None:
            return resumed(self) if collector.active() else None
        call = begin_described(_described, self, (), {})
        if call is not None:
            keep(call, self)
        return call


def _described(exchange: _Exchange, _args: Any, _kwargs: Any) -> Described | None:
    if not any(watcher.settings.sockets for watcher in collector.active()):
        return None
    return Described("socket", f"socket {exchange.where}", exchange.where)


_exchanges: WeakKeyDictionary[Any, _Exchange] = WeakKeyDictionary()
"""By socket, or by asyncio's reader and writer."""

Turn = Callable[[_Exchange], ExternalCall | None]
Find = Callable[[Any, tuple[Any, ...], dict[str, Any]], _Exchange | None]
Adopt = Callable[[_Exchange, Any], None]
"""Told of what came of it, which the exchange goes on with."""


# --- which exchange -----------------------------------------------------------------------------


def _where(address: Any) -> str:
    """ldap.example.com:389, or a Unix socket's path"""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(address, bytes):
        address = address.decode("utf-8", "replace")
    return str(address).replace("\0", "@", 1)  # of Linux's abstract namespace, as `ss` shows it


def _is_for_database() -> bool:
    outside = False
    for frame in callsite.frames(sys._getframe(1)):
        module = str(frame.f_globals.get("__name__"))
        if callsite.is_application(frame.f_code.co_filename):
            outside = True  # a handler of events may call whom it likes
        elif module.partition(".")[0] == "sqlalchemy" and not outside:
            return True
        elif module == "sqlalchemy.pool.base" and frame.f_code.co_name == "__connect":
            return True  # private: the application's own `creator` of connections
    return False


def _new(address: Any) -> _Exchange | None:
    return None if is_nested() or _is_for_database() else _Exchange(_where(address))


def _blocks(sock: Any) -> bool:
    return bool(sock.gettimeout() != 0)


def _connecting(sock: Any, args: tuple[Any, ...], _kwargs: Any) -> _Exchange | None:
    exchange = _new(args[0]) if _blocks(sock) else None
    if exchange is not None:
        _exchanges[sock] = exchange
    return exchange


def _sending_to(sock: Any, args: tuple[Any, ...], _kwargs: Any) -> _Exchange | None:
    """A datagram; not the answer of a server, whose socket is bound."""
    if not _blocks(sock):
        return None
    exchange, where = _exchanges.get(sock), _where(args[-1])
    if exchange is None:
        name = sock.getsockname()
        is_bound = name[1] != 0 if isinstance(name, tuple) else bool(name)
        exchange = None if is_bound else _connecting(sock, args[-1:], {})
    elif exchange.where != where:
        exchange = _exchanges[sock] = _Exchange(where)
    return exchange


def _known(sock: Any, _args: Any, _kwargs: Any) -> _Exchange | None:
    exchange = _exchanges.get(sock)
    return exchange if exchange is not None and _blocks(sock) else None


def _creating(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
    return _new(args[0] if args else kwargs["address"])


def _wrapping(_context: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
    return _known(args[0] if args else kwargs["sock"], (), {})


def _opening(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
    host, port = (*args, kwargs.get("host"), kwargs.get("port"))[:2]
    return None if host is None else _new((host, port))  # a socket that is connected already


def _opening_unix(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
    path = args[0] if args else kwargs.get("path")
    return None if path is None else _new(path)


def _of_loop(_loop: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Exchange | None:
    host, port = (*args[1:], kwargs.get("host"), kwargs.get("port"))[:2]
    return None if host is None else _new((host, port))


def _connecting_in_loop(_loop: Any, args: tuple[Any, ...], kwargs: Any) -> _Exchange | None:
    sock, address = (*args, *kwargs.values())[:2]
    exchange = _new(address)
    if exchange is not None:
        _exchanges[sock] = exchange
    return exchange


def _known_in_loop(_loop: Any, args: tuple[Any, ...], kwargs: Any) -> _Exchange | None:
    return _exchanges.get(args[0] if args else kwargs["sock"])


def _stream(stream: Any, _args: Any, _kwargs: Any) -> _Exchange | None:
    return _exchanges.get(stream)


def _adopt(exchange: _Exchange, made: Any) -> None:
    for each in made if isinstance(made, tuple) else (made,):
        _exchanges[each] = exchange


# --- wraps --------------------------------------------------------------------------------------


def _found(find: Find, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return find(instance, args, kwargs)
    except Exception as error:
        note_once(f"the socket by {find.__qualname__}", error)
        return None


def _adopted(adopt: Adopt | None, exchange: _Exchange, result: Any) -> None:
    try:
        if adopt is not None:
            adopt(exchange, result)
    except Exception as error:
        note_once("the socket that was made", error)


def _in_turn(find: Find, turn: Turn, adopt: Adopt | None = None) -> Wrapper:
    def sensor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        exchange = _found(find, instance, args, kwargs)
        call = None if exchange is None else turn(exchange)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if call is not None:
                call.leave()
        if exchange is not None:
            _adopted(adopt, exchange, result)
        return result

    return sensor


def _in_turn_awaited(find: Find, turn: Turn, adopt: Adopt | None = None) -> Wrapper:
    def sensor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            coroutine = wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        unstarted = Unstarted(coroutine)

        async def run() -> Any:
            coroutine = unstarted.take()
            exchange = _found(find, instance, args, kwargs)
            try:
                call = None if exchange is None else turn(exchange)
            except BaseException:
                coroutine.close()
                raise
            try:
                result = await coroutine
            except BaseException as error:
                drop_own_frame(error)
                raise
            finally:
                if call is not None:
                    call.leave()
            if exchange is not None:
                _adopted(adopt, exchange, result)
            return result

        ours: Any = run()
        ours.__name__, ours.__qualname__ = coroutine.__name__, coroutine.__qualname__
        return ours

    return sensor


_go_on, _speak, _listen = _Exchange.go_on, _Exchange.speak, _Exchange.listen

_SENDS = ("send", "sendall", "sendmsg", "sendfile")
_RECEIVES = ("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into")
_SHOWN = "socket ldap.example.com:389"
_LOOP = "asyncio.selector_events", "BaseSelectorEventLoop"

CLIENTS = (
    Client(
        "socket",
        "socket",
        _SHOWN,
        (
            Target("socket", "create_connection", _in_turn(_creating, _go_on, _adopt)),
            *(
                Target("socket", f"socket.{name}", _in_turn(_connecting, _go_on))
                for name in ("connect", "connect_ex")
            ),
            *(Target("socket", f"socket.{name}", _in_turn(_known, _speak)) for name in _SENDS),
            Target("socket", "socket.sendto", _in_turn(_sending_to, _speak)),
            *(Target("socket", f"socket.{name}", _in_turn(_known, _listen)) for name in _RECEIVES),
        ),
    ),
    Client(
        "ssl",
        "socket",
        _SHOWN,
        (
            Target("ssl", "SSLContext.wrap_socket", _in_turn(_wrapping, _go_on, _adopt)),
            Target("ssl", "SSLSocket.do_handshake", _in_turn(_known, _go_on)),
            *(
                Target("ssl", f"SSLSocket.{name}", _in_turn(_known, turn))
                for turn, names in (
                    (_speak, ("send", "sendall", "write")),
                    (_listen, ("recv", "recv_into", "read")),
                )
                for name in names
            ),
        ),
    ),
    Client(
        "asyncio",
        "socket",
        _SHOWN,
        (
            *(
                Target(module, name, _in_turn_awaited(find, _go_on, _adopt))
                for module in ("asyncio.streams", "asyncio")
                for name, find in (
                    ("open_connection", _opening),
                    ("open_unix_connection", _opening_unix),
                )
            ),
            *(
                Target(
                    "asyncio.streams", f"StreamReader.{name}", _in_turn_awaited(_stream, _listen)
                )
                for name in ("read", "readline", "readexactly", "readuntil")
            ),
            Target("asyncio.streams", "StreamWriter.write", _in_turn(_stream, _speak)),
            Target("asyncio.streams", "StreamWriter.writelines", _in_turn(_stream, _speak)),
            Target("asyncio.streams", "StreamWriter.drain", _in_turn_awaited(_stream, _go_on)),
            Target(
                "asyncio.base_events",
                "BaseEventLoop.create_connection",
                _in_turn_awaited(_of_loop, _go_on),
            ),
            *(
                Target(_LOOP[0], f"{_LOOP[1]}.{name}", _in_turn_awaited(find, turn))
                for name, find, turn in (
                    ("sock_connect", _connecting_in_loop, _go_on),
                    ("sock_sendall", _known_in_loop, _speak),
                    ("sock_recv", _known_in_loop, _listen),
                    ("sock_recv_into", _known_in_loop, _listen),
                )
            ),
        ),
    ),
)

_TARGETS = tuple(target for client in CLIENTS for target in client.targets)


def install() -> None:
    """Put them in. Cheap when they are in already."""
    for target in _TARGETS:
        placing.place_when_imported(target)
    by_name.place(_TARGETS)


def uninstall() -> None:
    """They do not come back with the others."""
    for target in _TARGETS:
        placing.withdraw(target)
    _exchanges.clear()
