"""Behaviours that were seen in real services, of calls that go a long way round."""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import logging.handlers
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, findings_of, line_of
from http_clients import transaction
from servers import FakeServer
from shop import Base, Category
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import txprof


def innermost(finding: txprof.Finding, count: int) -> list[str]:
    """The names of so many functions of its call path, the innermost last."""
    places = finding.details["call_path"][-count:]
    return [place.rpartition(" ")[2].rpartition(".")[2] for place in places]


# Thousands of sends of a test client, with a transaction open: decided by the transport.


def answering(request: Request) -> PlainTextResponse:
    return PlainTextResponse("served")


def test_many_requests_of_a_test_client_in_a_transaction_are_no_calls(
    engine: Engine, api: ApiServer
) -> None:
    app = Starlette(routes=[Route("/", answering)])
    module = sys.modules[TestClient.__bases__[0].__module__.partition(".")[0]]  # httpx, or httpx2
    with (
        txprof.profile(on_finding="ignore") as prof,
        transaction(engine),
        TestClient(app) as client,
    ):
        for _ in range(200):
            assert client.get("/").text == "served"
        assert prof.recorded.external_calls == []
        client._transport = module.HTTPTransport(verify=False)
        assert client.get(api.url("/real")).text == "ok"  # real
        client._transport.close()
    assert_flagged(prof, "io-in-transaction", line=line_of("real"), count=1)


# Uploads in s3transfer's threads, in a thread pool that the job waits for; TaskGroup workers.


def upload(s3: Any, key: str) -> None:
    s3.upload_fileobj(io.BytesIO(b"image"), "images", key)


def test_uploads_in_a_pool_that_the_job_waits_for_are_in_its_transaction(
    engine: Engine, s3: Any
) -> None:
    def job() -> None:
        with transaction(engine), ThreadPoolExecutor(2) as pool:
            list(pool.map(functools.partial(upload, s3), ["one", "two", "three"]))  # waits

    with txprof.profile(on_finding="ignore") as prof:
        job()
    finding = assert_flagged(prof, "io-in-transaction", count=3)
    assert finding.site.function.endswith("job")
    assert innermost(finding, 2) == ["job", "upload"]
    assert calls_seen(prof) == [("storage", "s3.PutObject images", 3)]


def test_uploads_in_a_pool_after_the_transaction_are_clean(engine: Engine, s3: Any) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        with transaction(engine):
            pass
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(functools.partial(upload, s3), ["one", "two"]))
    assert_clean(prof)
    assert calls_seen(prof) == [("storage", "s3.PutObject images", 2)]


def test_the_workers_of_a_task_group_are_in_the_transaction_that_waits_for_them(
    api: ApiServer, tmp_path: Path
) -> None:
    async def fetch(client: httpx.AsyncClient) -> str:
        return (await client.get(api.url("/fetched"))).text

    async def job() -> list[str]:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'async.db'}")
        async with engine.begin() as connection, httpx.AsyncClient(verify=False) as client:
            await connection.execute(text("SELECT 1"))
            async with asyncio.TaskGroup() as group:  # waits
                tasks = [group.create_task(fetch(client)) for _ in range(3)]
        await engine.dispose()
        return [task.result() for task in tasks]

    with txprof.profile(on_finding="ignore") as prof:
        assert asyncio.run(job()) == ["ok"] * 3
    finding = assert_flagged(prof, "io-in-transaction", count=3)
    assert finding.site.function.endswith("job")
    assert innermost(finding, 2) == ["job", "fetch"]


# A dependency that takes a connection for the whole request, while that asks an identity
# provider: held; with a ping before, in a transaction. One site, two rules.


@contextmanager
def connection_of_request(engine: Engine, *, ping: bool) -> Iterator[Connection]:
    with engine.connect() as connection:
        if ping:
            connection.execute(text("SELECT 1"))
        yield connection


@pytest.mark.parametrize("pings", [[False], [True], [False, True], [True, False]])
def test_one_site_breaks_the_rule_that_the_dependency_decides(
    engine: Engine, api: ApiServer, pings: list[bool]
) -> None:
    def who(request: Request) -> PlainTextResponse:
        ping = request.query_params.get("ping") == "True"
        with connection_of_request(engine, ping=ping):
            answer = requests.get(api.url("/identity"), timeout=10)
        return PlainTextResponse(answer.text)

    app = Starlette(routes=[Route("/who", who)])
    with txprof.profile(on_finding="ignore") as prof, TestClient(app) as client:
        for ping in pings:
            assert client.get(f"/who?ping={ping}").text == "ok"
    found = [
        finding
        for rule in ("io-in-transaction", "io-while-held")
        for finding in findings_of(prof, rule)
    ]
    assert sorted(finding.rule for finding in found) == sorted(
        {"io-in-transaction" if ping else "io-while-held" for ping in pings}
    )
    assert len({finding.site for finding in found}) == 1
    assert found[0].site.function.endswith("who")
    assert [finding.count for finding in found] == [1] * len(found)


# The client returns at the headers; the body takes its time, at the line that reads it.


def test_a_body_that_is_read_line_by_line_is_part_of_its_call_to_its_end(
    engine: Engine, api: ApiServer
) -> None:
    with txprof.profile(on_finding="ignore") as prof, httpx.Client(verify=False) as client:
        with client.stream("GET", api.url("/stream")) as response:
            (row,) = prof.recorded.external_calls
            at_the_headers = row.seconds
            with transaction(engine):
                parts = list(response.iter_bytes())  # reads
    assert b"".join(parts) == b"one two three"
    (row,) = prof.recorded.external_calls
    assert row.count == 1
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("reads"), count=1)
    assert finding.seconds is not None
    assert finding.seconds > 0
    assert at_the_headers > 0


# Mail through a logging handler, HTTP under a cache, a queue under a signal: the path tells.


@pytest.fixture
def alarms(smtp_server: tuple[str, int]) -> Iterator[logging.Logger]:
    handler = logging.handlers.SMTPHandler(smtp_server, "a@example.com", ["b@example.com"], "Alarm")
    logger = logging.getLogger("shop.alarms")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


def test_mail_by_a_logging_handler_is_at_the_line_that_logs(
    engine: Engine, alarms: logging.Logger, smtp_server: tuple[str, int]
) -> None:
    def complain() -> None:
        alarms.error("no stock left")

    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        complain()  # logs
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("logs"), count=1)
    host, port = smtp_server
    assert finding.details["target"] == f"smtp {host}:{port} (1 recipient)"
    assert innermost(finding, 2) == [
        "test_mail_by_a_logging_handler_is_at_the_line_that_logs",
        "complain",
    ]


def test_http_under_a_cache_is_seen_when_it_misses_with_the_way_to_it(
    engine: Engine, api: ApiServer
) -> None:
    @functools.lru_cache
    def rate(currency: str) -> str:
        return requests.get(api.url(f"/rates/{currency}"), timeout=10).text

    def total(currency: str) -> str:
        return rate(currency)

    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        for currency in ("EUR", "EUR", "EUR"):
            total(currency)  # asks
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("asks"), count=1)
    assert innermost(finding, 2) == ["total", "rate"]


def test_what_is_published_under_an_event_of_the_orm_is_at_the_line_that_flushes(
    engine: Engine,
) -> None:
    Base.metadata.create_all(engine)
    server = FakeServer().client()

    def publish(session: Session, _context: Any) -> None:
        server.rpush("jobs", len(session.new))

    with Session(engine) as session, txprof.profile(on_finding="ignore") as prof:
        event.listen(session, "after_flush", publish)
        session.add(Category(id=1))
        session.flush()  # flushes
        session.rollback()
    server.close()
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("flushes"), count=1)
    assert finding.details["target"] == "redis RPUSH"
    assert innermost(finding, 2) == [
        "test_what_is_published_under_an_event_of_the_orm_is_at_the_line_that_flushes",
        "publish",
    ]
