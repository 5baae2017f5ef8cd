"""Sockets of clients that no sensor knows: on demand, by exchanges."""

from __future__ import annotations

import asyncio
import functools
import socket
import socketserver
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from echo import Address, Echo, EchoOnce, by_streams, served, shown, talk
from helpers import assert_clean, assert_flagged, calls_seen, line_of
from http_clients import outcome, transaction, unused_port
from sqlalchemy import Engine
from targets import Places

import txprof
from txprof.sensors import sockets

pytestmark = pytest.mark.usefixtures("taken_out")

TARGETS = [target for client in sockets.CLIENTS for target in client.targets]


# --- on demand ------------------------------------------------------------------------------------


def test_without_the_setting_nothing_is_wrapped_and_nothing_seen(
    engine: Engine, echo: Address
) -> None:
    places = Places(TARGETS)
    with txprof.profile() as prof, transaction(engine):
        assert {*places.changed().values()} == {False}
        with closing(socket.create_connection(echo)) as sock:
            sock.sendall(b"price\n")
            assert sock.recv(100) == b"PRICE\n"
    assert calls_seen(prof) == []


def test_they_come_out_with_the_others_and_do_not_come_back_by_themselves() -> None:
    places = Places(TARGETS)
    for _ in range(2):
        with txprof.profile(sockets=True):
            assert {*places.changed().values()} == {True}
        txprof.uninstall()
        assert {*places.changed().values()} == {False}
        for _ in range(2):
            with txprof.profile():
                assert {*places.changed().values()} == {False}


def test_a_profile_that_did_not_ask_sees_none_while_they_are_in(echo: Address) -> None:
    with txprof.profile(sockets=True):
        pass
    with txprof.profile() as prof, closing(socket.create_connection(echo)) as sock:
        sock.sendall(b"price\n")
        assert sock.recv(100) == b"PRICE\n"
    assert calls_seen(prof) == []


def test_the_environment_switches_them_on(echo: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TXPROF_SOCKETS", "1")
    with txprof.profile() as prof, closing(socket.create_connection(echo)):
        pass
    assert calls_seen(prof) == [("socket", shown(echo), 1)]


# --- exchanges ------------------------------------------------------------------------------------


def test_connecting_asking_and_the_answer_are_one_call(engine: Engine, echo: Address) -> None:
    with txprof.profile(sockets=True) as prof, transaction(engine):
        with closing(socket.socket()) as sock:
            sock.connect(echo)  # call
            sock.sendall(b"pri")
            sock.sendall(b"ce\n")
            assert sock.recv(1) == b"P"
            assert sock.recv(100) == b"RICE\n"
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "socket"
    assert finding.details["target"] == shown(echo)
    assert calls_seen(prof) == [("socket", shown(echo), 1)]


def test_what_is_asked_after_an_answer_is_a_call_of_its_own(engine: Engine, echo: Address) -> None:
    with txprof.profile(sockets=True) as prof, closing(socket.create_connection(echo)) as sock:
        for _ in range(3):
            sock.sendall(b"price\n")
            assert sock.recv(100) == b"PRICE\n"
        with transaction(engine):
            sock.sendall(b"price\n")  # call
            assert sock.recv(100) == b"PRICE\n"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("socket", shown(echo), 4)]


def test_an_answer_waited_for_in_a_later_transaction_is_a_finding_there(
    engine: Engine, echo: Address
) -> None:
    with txprof.profile(sockets=True) as prof, closing(socket.create_connection(echo)) as sock:
        sock.sendall(b"price\n")
        with transaction(engine):
            assert sock.recv(100) == b"PRICE\n"  # wait
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert calls_seen(prof) == [("socket", shown(echo), 1)]


def test_a_file_over_a_socket_is_followed(engine: Engine, echo: Address) -> None:
    with txprof.profile(sockets=True) as prof, closing(socket.create_connection(echo)) as sock:
        with sock.makefile("rwb") as file, transaction(engine):
            file.write(b"price\n")
            file.flush()  # call
            assert file.readline() == b"PRICE\n"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("socket", shown(echo), 1)]


def test_a_host_is_shown_by_the_name_it_was_asked_for(echo: Address) -> None:
    with txprof.profile(sockets=True) as prof:
        socket.create_connection(("localhost", echo[1])).close()
    assert calls_seen(prof) == [("socket", f"socket localhost:{echo[1]}", 1)]


def test_an_allowed_host_may_be_talked_to(engine: Engine, echo: Address) -> None:
    allowed = [f"127.0.0.1:{echo[1]}"]
    with txprof.profile(sockets=True, allow_hosts=allowed) as prof, transaction(engine):
        socket.create_connection(echo).close()
    assert_clean(prof)


def test_a_connection_that_raises_is_not_made(engine: Engine, echo: Address) -> None:
    with txprof.profile(sockets=True, on_finding="raise"), closing(socket.socket()) as sock:
        with (
            transaction(engine),
            pytest.warns(txprof.TransactionHygieneWarning, match="socket 127"),
            pytest.raises(txprof.TransactionHygieneError),
        ):
            sock.connect(echo)
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()


def test_a_unix_socket_is_shown_by_its_path(engine: Engine, tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    with served(socketserver.ThreadingUnixStreamServer(path, Echo)):
        with txprof.profile(sockets=True) as prof, transaction(engine):
            with closing(socket.socket(socket.AF_UNIX)) as sock:
                sock.connect(path)  # call
                sock.sendall(b"price\n")
                assert sock.recv(100) == b"PRICE\n"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("socket", f"socket {path}", 1)]


def test_a_datagram_and_its_answer_are_one_call(engine: Engine) -> None:
    with served(socketserver.UDPServer(("127.0.0.1", 0), EchoOnce)) as address:
        with txprof.profile(sockets=True) as prof, transaction(engine):
            with closing(socket.socket(type=socket.SOCK_DGRAM)) as sock:
                sock.settimeout(60)
                for _ in range(2):
                    sock.sendto(b"price", address)  # call
                    assert sock.recvfrom(100) == (b"PRICE", address)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=2)
    assert calls_seen(prof) == [("socket", shown(address), 2)]


# --- the same as without --------------------------------------------------------------------------


def _silence(address: Address) -> bytes:
    with closing(socket.create_connection(address, 0.2)) as sock:
        sock.sendall(b"silence\n")
        return sock.recv(100)


def _nobody(_address: Address) -> None:
    socket.create_connection(("127.0.0.1", _PORT), 60)


def _nobody_async(_address: Address) -> Any:
    return asyncio.run(by_streams(("127.0.0.1", _PORT)))


def _nowhere(_address: Address) -> None:
    with closing(socket.socket()) as sock:
        sock.connect("nowhere")  # type: ignore[arg-type]


def _unconnected(_address: Address) -> None:
    with closing(socket.socket()) as sock:
        sock.sendall(b"price")


_PORT = unused_port()


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (talk, b"PRICE\n"),
        (_silence, TimeoutError),
        (_nobody, ConnectionRefusedError),
        (_nobody_async, ConnectionRefusedError),
        (_nowhere, TypeError),
        (_unconnected, BrokenPipeError),
    ],
)
def test_it_returns_and_raises_what_it_does_without_txprof(
    echo: Address, call: Callable[[Address], Any], result: Any
) -> None:
    ask = functools.partial(call, echo)
    without = outcome(ask)
    kind, told = without
    assert (told if kind == "returned" else told[0][0]) == result
    with txprof.profile(sockets=True):
        assert outcome(ask) == without
