"""`txprof_web`: one request is line-profiled because somebody who may asked for it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from helpers import findings_of
from sqlalchemy import Engine
from starlette.testclient import TestClient
from txprof_web import ASGIMiddleware, WSGIMiddleware
from web_applications import (
    ALLOWED,
    SECRET,
    Get,
    Log,
    fastapi_application,
    flask_application,
)
from werkzeug.test import Client

import txprof

# --- a request that asks ------------------------------------------------------------------------


def test_the_matching_files_are_profiled_for_that_request(
    serve: Callable[..., Get], options: dict[str, Any], log: Log
) -> None:
    get = serve(**options)
    answer = get("/handle/3?txprof=research/*.py", **ALLOWED)
    assert (answer.status_code, answer.text) == (200, "3")
    (report,) = log.reports
    assert report.startswith("txprof ── GET /handle/3 ── ")
    assert "web_work.py  handle · 1 call" in report
    assert "web_work.py  step · 3 calls" in report
    assert "io-in-transaction: rpc billing-3 ×1" in report
    get("/handle/4")
    assert len(log.reports) == 1


def test_a_header_asks_as_well(
    serve: Callable[..., Get], options: dict[str, Any], log: Log
) -> None:
    get = serve(**options)
    get("/handle/3", **ALLOWED, **{"X-Txprof": "nowhere/*.py, **/web_*.py"})
    assert "step · 3 calls" in log.reports[0]


def test_functions_that_are_nested_in_others_are_profiled(
    work: Any, options: dict[str, Any], log: Log
) -> None:
    if sys.version_info < (3, 12):
        pytest.skip("functions are timed there, not code")

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [str(work.view(1)).encode()]

    client = Client(WSGIMiddleware(application, **options))
    assert client.get("/?txprof=research/web_work.py", headers=ALLOWED).data == b"2"
    assert "make_view.<locals>.view · 1 call" in log.reports[0]


def test_an_error_of_the_application_is_reported_and_stays_its_own(
    serve: Callable[..., Get], options: dict[str, Any], log: Log
) -> None:
    get = serve(**options)
    assert get("/fail?txprof=research/*.py", **ALLOWED).status_code == 500
    assert log.reports[0].startswith("txprof ── GET /fail ── 1 call ")
    assert "def step():" in log.reports[0]


def test_a_streamed_body_is_part_of_its_request(
    serve: Callable[..., Get], options: dict[str, Any], log: Log
) -> None:
    get = serve(**options)
    assert get("/stream?txprof=research/*.py", **ALLOWED).text == "111"
    (report,) = log.reports
    assert report.startswith("txprof ── GET /stream ── 3 calls ")
    assert "def step():" in report


# --- beside others ------------------------------------------------------------------------------


def test_off_it_passes_everything_on(serve: Callable[..., Get], log: Log) -> None:
    get = serve(log=log)
    assert get("/handle/3?txprof=research/*.py", **ALLOWED).text == "3"
    assert get("/__txprof__", **ALLOWED).status_code == 404
    assert log.reports == []


def test_concurrent_requests_of_flask_do_not_mix(
    work: Any, engine: Engine, options: dict[str, Any], log: Log
) -> None:
    client = Client(WSGIMiddleware(flask_application(work, engine), **options))
    start = threading.Barrier(10)

    def request(number: int) -> str:
        start.wait(60)
        query = {"txprof": "research/*.py"} if number % 2 else {}
        answer = client.get(f"/handle/{number}", query_string=query, headers=ALLOWED, buffered=True)
        return str(answer.get_data(as_text=True))

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(request, range(50)))
    assert answers == [str(number) for number in range(50)]
    assert_right_lines_in_the_right_request(log)


def test_concurrent_requests_of_fastapi_do_not_mix(
    work: Any, engine: Engine, options: dict[str, Any], log: Log
) -> None:
    application = ASGIMiddleware(fastapi_application(work, engine), **options)

    async def main() -> list[str]:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            answers = await asyncio.gather(
                *(
                    client.get(
                        f"/handle/{number}",
                        params={"txprof": "research/*.py"} if number % 2 else {},
                        headers=ALLOWED,
                    )
                    for number in range(50)
                )
            )
        return [answer.text for answer in answers]

    assert asyncio.run(main()) == [str(number) for number in range(50)]
    assert_right_lines_in_the_right_request(log)


def assert_right_lines_in_the_right_request(log: Log) -> None:
    assert len(log.reports) == 25
    numbers = set()
    for report in log.reports:
        head = report.splitlines()[0]
        number = int(head.split("/handle/")[1].split()[0])
        numbers.add(number)
        assert "web_work.py  handle · 1 call " in report
        assert f"web_work.py  step · {number} call" in report
        assert report.count("▲ io-in-transaction: rpc billing-") == 1
        assert f"▲ io-in-transaction: rpc billing-{number} ×1" in report
        assert "1 query · 1 external call" in head
    assert numbers == set(range(1, 50, 2))


def test_a_websocket_passes_through(
    work: Any, engine: Engine, options: dict[str, Any], log: Log
) -> None:
    application = ASGIMiddleware(fastapi_application(work, engine), **options)
    with (
        TestClient(application) as client,
        client.websocket_connect("/socket?txprof=research/*.py", headers=ALLOWED) as socket,
    ):
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
    assert log.reports == []


def test_a_body_may_be_iterated_and_closed_from_anywhere(
    work: Any, options: dict[str, Any], log: Log
) -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(2):
                yield str(work.step()).encode()

        def close(self) -> None:
            work.step()
            closed.append(True)

    def application(environ: Any, start_response: Any) -> Body:
        start_response("200 OK", [])
        return Body()

    middleware = WSGIMiddleware(application, **options)
    environ = {
        "PATH_INFO": "/",
        "QUERY_STRING": "txprof=research/*.py",
        "HTTP_X_TXPROF_SECRET": SECRET,
    }
    body: Any = middleware(environ, lambda *_: None)
    parts = []
    with ThreadPoolExecutor(1) as pool:
        iterator = pool.submit(iter, body).result(60)
        parts.append(pool.submit(next, iterator).result(60))
        work.step()  # of somebody else
        parts += iterator
        assert log.reports == []
        pool.submit(body.close).result(60)
    assert (parts, closed) == ([b"1", b"1"], [True])
    assert log.reports[0].startswith("txprof ── GET / ── 3 calls ")
    assert not txprof.is_active()


def test_what_the_server_knows_how_to_send_stays_what_it_is(options: dict[str, Any]) -> None:
    class FileWrapper:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"1"])

    made: list[Any] = [FileWrapper(), [b"1"], (b"1",)]

    def application(environ: Any, start_response: Any) -> Any:
        return made[environ["number"]]

    middleware = WSGIMiddleware(application, **options)
    with txprof.profile(on_finding="ignore"):
        for number, body in enumerate(made):
            environ = {"number": number, "wsgi.file_wrapper": FileWrapper}
            assert middleware(environ, None) is body


def test_each_request_is_an_entry_for_what_profiles_the_process(
    serve: Callable[..., Get], options: dict[str, Any]
) -> None:
    enabled, off = serve(**options), serve()
    with txprof.profile(on_finding="ignore") as apart:
        for number in range(6):
            enabled(f"/handle/{number}")
    with txprof.profile(on_finding="ignore") as together:
        for number in range(6):
            off(f"/handle/{number}")
    assert findings_of(apart, "n-plus-one") == []
    assert len(findings_of(together, "n-plus-one")) == 1
