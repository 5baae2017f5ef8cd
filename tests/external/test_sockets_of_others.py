"""Sockets that are none of ours: a database's, a server's, and those of clients that are known."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
import requests
from echo import Address, shown, talk
from helpers import ApiServer, assert_clean, calls_seen, findings_of
from http_clients import transaction
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

import txprof

pytestmark = pytest.mark.usefixtures("taken_out")


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
            assert talk(address) == b"PRICE\n"
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
