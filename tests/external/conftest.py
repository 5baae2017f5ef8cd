"""Every HTTP client, by name; a server that answers as AWS does; one kind of database."""

from __future__ import annotations

import gc
import logging
import socket
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from aws_clients import LARGE, OLD, aws_client
from echo import Address, Echo, served
from grpc_server import grpc_server
from helpers import ApiServer
from http_clients import CLIENTS, Send
from llm_server import llm_server
from loopback import Server
from queue_clients import QUEUE, kafka_server
from servers import KEY, FakeServer, RealServer, mail_server, memcached_server
from storage_server import storage_server
from websocket_server import websocket_server

import txprof


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A database for `engine`. On every kind: test_http_calls.py."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def taken_out() -> Iterator[None]:
    """No sensor is in when the test begins, nor after its end."""
    txprof.uninstall()
    yield
    txprof.uninstall()


@pytest.fixture
def anew(taken_out: None, caplog: pytest.LogCaptureFixture) -> None:
    """Sensors go in anew in the test, and what gives way in them is logged."""
    caplog.set_level(logging.DEBUG, logger="txprof")


@pytest.fixture(params=CLIENTS)
def send(request: pytest.FixtureRequest) -> Send:
    """Sends a request through one of the clients; a test that asks for it runs for each."""
    return CLIENTS[request.param]


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The address of a real server that answers as AWS does."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(moto: str) -> Iterator[Any]:
    """A client of it, with the bucket `images` and in it the object `old`."""
    client = aws_client("s3", moto)
    client.create_bucket(Bucket="images")
    client.put_object(**OLD, Body=LARGE)
    yield client
    client.close()


@pytest.fixture
def s3_api(api: ApiServer) -> Iterator[Any]:
    """A client of the server that tells what reached it."""
    client = aws_client("s3", api.url(""))
    yield client
    client.close()


@pytest.fixture(scope="session")
def smtp_server() -> Iterator[tuple[str, int]]:
    """The address of a real mail server, which refuses one recipient."""
    with mail_server() as address:
        yield address


@pytest.fixture(scope="session")
def grpc_address() -> Iterator[str]:
    """The address of a real gRPC server."""
    with grpc_server() as address:
        yield address


@pytest.fixture(scope="session")
def llm() -> Iterator[Server]:
    """A server that answers as language models' do."""
    with llm_server() as server:
        yield server


@pytest.fixture(scope="session")
def storage() -> Iterator[Server]:
    """A server that answers as object storages do."""
    with storage_server() as server:
        yield server


@pytest.fixture(scope="session")
def websocket_address() -> Iterator[str]:
    """The address of a real WebSocket server."""
    with websocket_server() as address:
        yield address


@pytest.fixture(scope="session")
def memcached() -> Iterator[tuple[str, int]]:
    """The address of a server that speaks memcached's protocol."""
    with memcached_server() as address:
        yield address


@pytest.fixture(scope="session")
def echo() -> Iterator[Address]:
    """The address of a server that no sensor knows the protocol of."""
    with served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)) as address:
        yield address


@pytest.fixture
def fake_redis() -> FakeServer:
    """A fake of Redis."""
    return FakeServer()


@pytest.fixture
def real_redis() -> Iterator[RealServer]:
    """The Redis of this machine, if it runs one."""
    server = RealServer()
    try:
        with server.client() as client:
            client.ping()
    except redis.ConnectionError:
        pytest.skip("no Redis at 127.0.0.1:6379")
    yield server
    with server.client() as client:
        client.delete(KEY)


@pytest.fixture
def redis_queue(real_redis: RealServer) -> Iterator[str]:
    """The URL of the Redis of this machine; what queues put there goes when the test ends."""
    yield "redis://127.0.0.1:6379/0"
    with real_redis.client() as client:
        for key in client.scan_iter(f"*{QUEUE}*", count=1000):
            client.delete(key)
        client.srem("rq:queues", f"rq:queue:{QUEUE}")


def port_of(name: str, port: int) -> str:
    """The address of a service of this machine, if it runs it."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except OSError:
        pytest.skip(f"no {name} at 127.0.0.1:{port}")
    return f"127.0.0.1:{port}"


@contextmanager
def left_open() -> Iterator[None]:
    """What clients leave open within is closed at its end, and not in another test."""
    logging.disable()  # a record that was captured keeps what its traceback led to
    gc.freeze()  # what was there before need not be looked at
    yield
    gc.collect()
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.fixture
def rabbitmq() -> str:
    """The address of the RabbitMQ of this machine."""
    return port_of("RabbitMQ", 5672)


@pytest.fixture
def nats() -> str:
    """The address of the NATS of this machine."""
    return port_of("NATS", 4222)


@pytest.fixture
def mqtt() -> Iterator[str]:
    """The address of the MQTT broker of this machine."""
    with left_open():
        yield port_of("MQTT broker", 1883)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of librdkafka's own stand-in for a cluster."""
    with kafka_server() as address:
        yield address


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with left_open(), socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nobody listens."""
    with left_open():
        yield "127.0.0.1:1"


@pytest.fixture
def nothing() -> None:
    """For what needs no server."""
