"""Sockets of clients that no sensor knows: on demand, by exchanges, never the database's."""

from __future__ import annotations

import asyncio
import functools
import socket
import socketserver
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, findings_of, line_of
from http_clients import outcome, transaction, unused_port
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

import txprof
from txprof.sensors import sockets

Address = tuple[str, int]


class _Echo(socketserver.StreamRequestHandler):
    """Answers each line in capitals; says nothing to "silence"."""

    def handle(self) -> None:
        for line in self.rfile:
            if line != b"silence\n":
                self.wfile.write(line.upper())


class _EchoOnce(socketserver.DatagramRequestHandler):
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


@pytest.fixture(scope="module")
def echo() -> Iterator[Address]:
    """A server that no sensor knows the protocol of."""
    with served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo)) as address:
        yield address


def shown(address: Address) -> str:
    return f"socket {address[0]}:{address[1]}"


@pytest.fixture(autouse=True)
def taken_out() -> Iterator[None]:
    """The sensors come out again, those of sockets too."""
    txprof.uninstall()
    yield
    txprof.uninstall()


# --- on demand ----------------------------------------------------------------------------------

TARGETS = [target for client in sockets.CLIENTS for target in client.targets]


def found() -> list[Any]:
    """What is in the place of every target."""
    owners = {
        "socket": socket,
        "ssl": ssl,
        "asyncio": asyncio,
        "asyncio.streams": asyncio.streams,
        "asyncio.base_events": asyncio.base_events,
        "asyncio.selector_events": asyncio.selector_events,
    }
    values = []
    for target in TARGETS:
        *classes, name = target.attribute.split(".")
        owner: Any = owners[target.module]
        for each in classes:
            owner = getattr(owner, each)
        values.append(vars(owner).get(name))
    return values


def same(before: list[Any]) -> set[bool]:
    return {now is then for now, then in zip(found(), before, strict=True)}


def test_without_the_setting_nothing_is_wrapped_and_nothing_seen(
    engine: Engine, echo: Address
) -> None:
    before = found()
    with txprof.profile() as prof, transaction(engine):
        assert same(before) == {True}
        with closing(socket.create_connection(echo)) as sock:
            sock.sendall(b"price\n")
            assert sock.recv(100) == b"PRICE\n"
    assert calls_seen(prof) == []


def test_they_come_out_with_the_others_and_do_not_come_back_by_themselves() -> None:
    before = found()
    for _ in range(2):
        with txprof.profile(sockets=True):
            assert same(before) == {False}
        txprof.uninstall()
        assert same(before) == {True}
        for _ in range(2):
            with txprof.profile():
                assert same(before) == {True}


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


# --- exchanges ----------------------------------------------------------------------------------


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
    with served(socketserver.ThreadingUnixStreamServer(path, _Echo)):
        with txprof.profile(sockets=True) as prof, transaction(engine):
            with closing(socket.socket(socket.AF_UNIX)) as sock:
                sock.connect(path)  # call
                sock.sendall(b"price\n")
                assert sock.recv(100) == b"PRICE\n"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("socket", f"socket {path}", 1)]


def test_a_datagram_and_its_answer_are_one_call(engine: Engine) -> None:
    with served(socketserver.UDPServer(("127.0.0.1", 0), _EchoOnce)) as address:
        with txprof.profile(sockets=True) as prof, transaction(engine):
            with closing(socket.socket(type=socket.SOCK_DGRAM)) as sock:
                sock.settimeout(60)
                for _ in range(2):
                    sock.sendto(b"price", address)  # call
                    assert sock.recvfrom(100) == (b"PRICE", address)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=2)
    assert calls_seen(prof) == [("socket", shown(address), 2)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost, signed by itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)
    )
    return path


def _wrapped_last(context: ssl.SSLContext, address: Address) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(address))


def _wrapped_first(context: ssl.SSLContext, address: Address) -> ssl.SSLSocket:
    sock = context.wrap_socket(socket.socket())
    sock.connect(address)
    return sock


@pytest.mark.parametrize("connect", [_wrapped_last, _wrapped_first])
def test_an_encrypted_exchange_is_one_call(
    engine: Engine,
    certificate: Path,
    connect: Callable[[ssl.SSLContext, Address], ssl.SSLSocket],
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo)
    server.socket = serving.wrap_socket(server.socket, server_side=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with served(server) as address, txprof.profile(sockets=True) as prof:
        with transaction(engine), closing(connect(context, address)) as sock:  # call
            sock.sendall(b"price\n")
            assert sock.recv(100) == b"PRICE\n"
        sock = connect(context, address)
        with closing(sock), transaction(engine):
            sock.sendall(b"price\n")
            assert sock.recv(100) == b"PRICE\n"
    assert len(findings_of(prof, "io-in-transaction")) == 2
    assert calls_seen(prof) == [("socket", shown(address), 2)]


# --- asyncio ------------------------------------------------------------------------------------


async def by_streams(address: Address) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"price\n")
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


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


# --- the same as without ------------------------------------------------------------------------


def _talk(address: Address) -> bytes:
    with closing(socket.create_connection(address, 60)) as sock:
        sock.sendall(b"price\n")
        return sock.recv(100)


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
        (_talk, b"PRICE\n"),
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


# --- whose sockets are none of ours -------------------------------------------------------------


def test_what_another_sensor_sees_is_seen_by_that_alone(
    engine: Engine, api: ApiServer, real_redis: Any
) -> None:
    with txprof.profile(sockets=True) as prof, transaction(engine):
        with requests.Session() as session:
            session.get(api.url())
            session.get(api.url("/stream"), stream=True).close()
        with redis.Redis(host="127.0.0.1") as client:
            client.ping()
    assert {kind for kind, _, _ in calls_seen(prof)} == {"http", "cache"}


def test_who_serves_makes_no_calls_nor_does_a_pair(engine: Engine) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with closing(connection), transaction(engine):
            connection.sendall(connection.recv(100).upper())

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = listener.getsockname()
        with txprof.profile(sockets=True) as prof:
            thread = threading.Thread(target=serve)
            thread.start()
            assert _talk(address) == b"PRICE\n"
            thread.join()
            left, right = socket.socketpair()
            with closing(left), closing(right), transaction(engine):
                left.sendall(b"a")
                right.recv(1)
            asyncio.run(asyncio.sleep(0))
    assert findings_of(prof, "io-in-transaction") == []
    assert calls_seen(prof) == [("socket", shown(address), 1)]


@pytest.fixture
def mariadb(mariadb_url: str) -> Iterator[Engine]:
    """Its driver is Python over sockets."""
    engine = create_engine(mariadb_url, pool_pre_ping=True)
    yield engine
    engine.dispose()


def test_what_a_driver_sends_for_sqlalchemy_is_no_call(mariadb: Engine) -> None:
    with txprof.profile(sockets=True) as prof:
        for _ in range(2):  # connects, and pings what is there
            with mariadb.begin() as connection:
                connection.execute(text("SELECT 1"))
                connection.begin_nested().rollback()
    assert_clean(prof)
    assert calls_seen(prof) == []


def test_what_an_applications_creator_connects_is_no_call(mariadb: Engine) -> None:
    import pymysql

    def create() -> Any:
        return pymysql.connect(host="127.0.0.1", user="root", database="test")

    engine = create_engine("mysql+pymysql://", creator=create)
    with txprof.profile(sockets=True) as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    engine.dispose()
    assert calls_seen(prof) == []


def test_a_driver_used_without_sqlalchemy_is_a_client_as_any(engine: Engine, mariadb: Any) -> None:
    import pymysql

    with txprof.profile(sockets=True) as prof, transaction(engine):
        pymysql.connect(host="127.0.0.1", user="root", database="test").close()
    assert {target for _, target, _ in calls_seen(prof)} == {"socket 127.0.0.1:3306"}


def test_a_handler_of_sqlalchemys_events_makes_calls_of_its_own(
    engine: Engine, echo: Address
) -> None:
    def tell(*_: Any) -> None:
        socket.create_connection(echo).close()

    event.listen(engine, "before_cursor_execute", tell)
    with txprof.profile(sockets=True) as prof, transaction(engine):
        pass
    assert calls_seen(prof) == [("socket", shown(echo), 1)]


def test_what_an_asynchronous_driver_sends_is_no_call(postgresql_url: str) -> None:
    async def work() -> None:
        engine = create_async_engine(postgresql_url.replace("+psycopg", "+asyncpg"))
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
        await engine.dispose()

    with txprof.profile(sockets=True) as prof:
        asyncio.run(work())
    assert calls_seen(prof) == []
