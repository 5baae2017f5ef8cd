"""What a program keeps to itself is in nothing that txprof says, however it says it."""

from __future__ import annotations

import contextlib
import os
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pymemcache
import pytest
from helpers import ApiServer, findings_of
from http_clients import CLIENTS
from servers import FakeServer
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

import txprof
from txprof.report import FORMATS

MARK = "hush"
"""Every secret has it in it. No line of a profiled function may: source is recorded."""

USER, PASSWORD, QUERY, FRAGMENT = (f"{MARK}-{what}" for what in ("user", "pass", "query", "part"))
HEADERS = {"Authorization": f"Bearer {MARK}-header", "Cookie": f"session={MARK}-cookie"}
BODY = f"{MARK}-body".encode()
ADDRESSES = [f"{MARK}-one@example.com", f"{MARK}-two@example.com"]
ARGUMENTS = [sys.executable, "-c", "pass", f"--token={MARK}-argument"]
ENVIRONMENT = {**os.environ, "TOKEN": f"{MARK}-environment"}
LINE = f"true {MARK}-in-a-shell"
KEY, VALUE = f"{MARK}-key", f"{MARK}-value"
BOUND = {"name": f"{MARK}-bound", "id": 1}


def secret_url(api: ApiServer) -> str:
    return f"http://{USER}:{PASSWORD}@{api.host}/visible?key={QUERY}#{FRAGMENT}"


@pytest.fixture
def engine(postgresql_url: str) -> Iterator[Engine]:
    """PostgreSQL by a URL that carries a password, and another in its query; one connection."""
    url = make_url(postgresql_url).set(password=PASSWORD)
    url = url.update_query_dict({"sslpassword": QUERY})
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS secrets (id INT PRIMARY KEY, name TEXT)")
        )
        connection.execute(text("DELETE FROM secrets"))
    yield engine
    engine.dispose()


class World:
    """What the program calls."""

    def __init__(self, engine: Engine, request: pytest.FixtureRequest) -> None:
        self.engine = engine
        self.api: ApiServer = request.getfixturevalue("api")
        self.redis = FakeServer().client()
        self.memcached = pymemcache.Client(request.getfixturevalue("memcached"))
        self.smtp = request.getfixturevalue("smtp_server")
        self.s3 = request.getfixturevalue("s3")

    def close(self) -> None:
        self.redis.close()
        self.memcached.close()


@pytest.fixture
def world(engine: Engine, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(engine, request)
    yield world
    world.close()


def ask_everybody(world: World) -> None:
    """Every kind of call there is, with secrets wherever one takes some."""
    for send in CLIENTS.values():
        with contextlib.suppress(Exception):  # not every client takes such a URL
            send("POST", secret_url(world.api), body=BODY, headers=HEADERS)
    world.redis.set(KEY, VALUE)
    world.memcached.set(KEY, VALUE)
    world.s3.put_object(Bucket="images", Key=KEY, Body=BODY, Metadata={"value": VALUE})
    subprocess.run(ARGUMENTS, env=ENVIRONMENT, check=True)
    subprocess.run(LINE, shell=True, check=True)
    post(world.smtp)


def post(address: tuple[str, int]) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ADDRESSES[0], ADDRESSES, VALUE
    message.set_content(VALUE)
    with smtplib.SMTP(*address, timeout=10) as smtp:
        smtp.send_message(message)


def work(world: World) -> None:
    """One transaction, with secrets in parameters and errors, and everything else inside it."""
    with world.engine.begin() as connection:
        connection.execute(text("INSERT INTO secrets VALUES (:id, :name)"), BOUND)
        for _ in range(6):
            connection.execute(text("SELECT name FROM secrets WHERE name = :name"), BOUND).all()
        ask_everybody(world)
        with contextlib.suppress(NoConnection):
            world.engine.connect()
        with contextlib.suppress(DBAPIError), connection.begin_nested():
            connection.execute(text("INSERT INTO secrets VALUES (:id, :name)"), BOUND)
    raise ValueError(VALUE)


def everything_told(prof: txprof.Profile, folder: Path) -> dict[str, str]:
    """All that a profile tells anybody, by where."""
    prof.save(folder / "saved.txprof")
    told = {format: prof.render(format) for format in FORMATS}
    told |= {
        "recording": (folder / "saved.txprof").read_text(),
        "findings": repr(prof.findings),
        "messages": "\n".join(f"{finding.message}\n{finding.hint}" for finding in prof.findings),
        "details": repr([finding.details for finding in prof.findings]),
        "exemplars": repr(prof.exemplars),
        "to_dict": repr(prof.to_dict()),
        "repr": f"{prof!r}{prof.recorded!r}",
    }
    return told


def test_no_secret_is_in_anything_that_is_told(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0, logger="txprof")
    with txprof.profile(work, idle_ms=0, long_transaction_ms=0, pool_wait_ms=0) as prof:
        with pytest.raises(ValueError, match=VALUE):
            work(world)
    told = everything_told(prof, tmp_path)
    told["log"] = "\n".join(
        record.getMessage() for record in caplog.records if record.name == "txprof"
    )
    for where, said in told.items():
        assert MARK not in said, f"{where}: {said[max(0, said.index(MARK) - 300) :][:600]}"
    # It is not that nothing was seen.
    kinds = {row.kind for row in prof.recorded.external_calls if row.state == "transaction"}
    assert kinds == {"http", "cache", "storage", "subprocess", "mail"}
    rules = {finding.rule for finding in prof.findings}
    assert rules >= {"io-in-transaction", "n-plus-one", "idle-in-transaction", "pool-timeout"}
    assert len(findings_of(prof, "io-in-transaction")) >= 7
    assert f"http://{world.api.host}/visible" in told["recording"]
    assert "io-in-transaction" in told["log"]
    assert prof.exemplars[0].external_calls


def test_no_secret_is_in_the_error_that_is_raised(world: World) -> None:
    texts: list[str] = []

    def tries(call: Any) -> None:
        with pytest.warns(txprof.TransactionHygieneWarning) as warned:
            with pytest.raises(txprof.TransactionHygieneError) as raised:
                call()
        texts.extend([str(raised.value), repr(raised.value), *(str(one.message) for one in warned)])

    with txprof.profile(on_finding="raise"), world.engine.begin() as connection:
        connection.execute(text("SELECT name FROM secrets WHERE name = :name"), BOUND)
        for send in CLIENTS.values():
            with contextlib.suppress(pytest.fail.Exception):  # one that takes no such URL
                tries(lambda send=send: send("POST", secret_url(world.api), headers=HEADERS))
        tries(lambda: world.redis.get(KEY))
        tries(lambda: world.s3.get_object(Bucket="images", Key=KEY))
        tries(lambda: post(world.smtp))
        tries(lambda: subprocess.run(ARGUMENTS, env=ENVIRONMENT, check=True))
    assert len(texts) >= 3 * 10
    assert MARK not in "".join(texts)


def test_the_query_of_urls_is_kept_where_the_settings_ask_for_it(world: World) -> None:
    with txprof.profile(url_query=True) as prof:
        CLIENTS["requests"]("GET", world.api.url(f"/visible?key={QUERY}#{FRAGMENT}"))
    (row,) = prof.recorded.external_calls
    assert row.target == f"GET {world.api.url('/visible')}?key={QUERY}"


def test_a_literal_in_a_statement_is_kept_with_its_text(engine: Engine) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 'visible' AS literal"))
    assert [row.statement for row in prof.recorded.statements] == ["SELECT 'visible' AS literal"]


def test_the_host_of_a_databases_url_is_kept_and_its_secrets_are_not(engine: Engine) -> None:
    with txprof.profile() as prof, engine.connect():
        pass
    (pool,) = prof.pools
    url = make_url(pool.engine)
    assert (url.host, url.port, url.database) == (
        engine.url.host,
        engine.url.port,
        engine.url.database,
    )
    assert url.password == "***"
    assert set(url.query) <= {"host", "port"}
