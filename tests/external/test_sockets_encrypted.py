"""Sockets of clients that no sensor knows, with TLS over them: what is beneath is one exchange."""

from __future__ import annotations

import socket
import socketserver
import ssl
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from echo import Address, Echo, served, shown
from helpers import calls_seen, findings_of
from http_clients import transaction
from sqlalchemy import Engine

import txprof

pytestmark = pytest.mark.usefixtures("taken_out")


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
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
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
