"""`txprof_web`: one request is line-profiled because somebody who may asked for it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fastapi
import flask
import httpx
import pytest
from helpers import findings_of
from sqlalchemy import Engine, NullPool, create_engine
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from txprof_web import ASGIMiddleware, Request, WSGIMiddleware
from werkzeug.test import Client

import txprof

SECRET = "correct horse battery"
ALLOWED = {"X-Txprof-Secret": SECRET}

WORK = """
from sqlalchemy import text
import txprof

def handle(engine, number):
    total = 0
    for _ in range(number):
        total += step()
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", f"billing-{number}"):
            pass
    return total

def step():
    return 1

def make_view():
    def view(number):
        return number + step()
    return view

view = make_view()
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the application, which lives in a folder `site`."""
    package = tmp_path / "site" / "research"
    package.mkdir(parents=True, exist_ok=True)
    (package / "web_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(package)
    yield importlib.import_module("web_work")
    del sys.modules["web_work"]


class Log:
    """Collects the reports."""

    def __init__(self) -> None:
        self.reports: list[str] = []

    def __call__(self, report: str) -> None:
        self.reports.append(report)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def options(tmp_path: Path, log: Log) -> dict[str, Any]:
    root = tmp_path / "site"
    root.mkdir(exist_ok=True)
    return {"enabled": True, "secret": SECRET, "root": root, "log": log}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A database for requests of any thread."""
    return create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool)


Get = Callable[..., Any]
"""(url, **headers) -> a response with `status_code`, `text` and `headers`."""


def flask_application(work: Any, engine: Engine) -> Any:
    application = flask.Flask("shop")

    @application.get("/handle/<int:number>")
    def handle(number: int) -> str:
        return str(work.handle(engine, number))

    @application.get("/fail")
    def fail() -> str:
        work.step()
        raise ZeroDivisionError

    @application.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(str(work.step()) for _ in range(3))

    return application


def fastapi_application(work: Any, engine: Engine) -> Any:
    application = fastapi.FastAPI()

    @application.get("/handle/{number}")
    def handle(number: int) -> int:
        return int(work.handle(engine, number))

    @application.get("/fail")
    async def fail() -> str:
        work.step()
        raise ZeroDivisionError

    @application.get("/stream")
    async def stream() -> fastapi.responses.StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for _ in range(3):
                await asyncio.sleep(0)
                yield str(work.step())

        return fastapi.responses.StreamingResponse(body())

    @application.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        work.step()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return application


class _Answer:
    def __init__(self, answer: Any) -> None:
        self.status_code = answer.status_code
        self.text = answer.get_data(as_text=True)
        self.headers = answer.headers


@pytest.fixture(params=["flask", "fastapi"])
def serve(
    request: pytest.FixtureRequest, work: Any, engine: Engine
) -> Iterator[Callable[..., Get]]:
    """Wraps an application in the middleware; gives back what sends it a request."""
    if request.param == "flask":

        def serve(**options: Any) -> Get:
            client = Client(WSGIMiddleware(flask_application(work, engine), **options))
            return lambda url, method="GET", **headers: _Answer(
                client.open(url, method=method, headers=headers, buffered=True)
            )

        yield serve
        return
    clients = []

    def serve_fastapi(**options: Any) -> Get:
        application = ASGIMiddleware(fastapi_application(work, engine), **options)
        client = TestClient(application, raise_server_exceptions=False)
        clients.append(client)
        return lambda url, method="GET", **headers: client.request(method, url, headers=headers)

    yield serve_fastapi
    for client in clients:
        client.close()


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


# --- who may, and what --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Txprof-Secret": ""}, {"X-Txprof-Secret": SECRET[:-1]}],
)
def test_who_may_not_sees_nothing(
    serve: Callable[..., Get],
    options: dict[str, Any],
    log: Log,
    headers: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    get = serve(**options)
    plain = serve()
    for url in ("/handle/3?txprof=research/*.py", "/__txprof__", "/handle/1?txprof=../x"):
        answer, expected = get(url, **headers), plain(url)
        assert (answer.status_code, answer.text) == (expected.status_code, expected.text)
    assert log.reports == []
    assert caplog.messages == []


def test_a_secret_may_have_any_letters(options: dict[str, Any]) -> None:
    secret = "ключ и замок и €"
    middleware = WSGIMiddleware(lambda *_: ["app"], **{**options, "secret": secret})
    environ = {"PATH_INFO": "/__txprof__", "REQUEST_METHOD": "HEAD"}
    for given, answer in ((secret, []), (secret[:-1], ["app"]), ("\udcff" * 16, ["app"])):
        # As PEP 3333 passes bytes: each as one character.
        sent = given.encode("utf-8", "surrogateescape").decode("latin-1")
        assert middleware({**environ, "HTTP_X_TXPROF_SECRET": sent}, lambda *_: None) == answer


def test_permit_is_asked_about_the_request(
    serve: Callable[..., Get], options: dict[str, Any], log: Log
) -> None:
    asked: list[Request] = []

    def permit(request: Request) -> bool:
        asked.append(request)
        return request.headers.get("x-user") == "root"

    get = serve(**{**options, "secret": None, "permit": permit})
    get("/handle/3?a=b&txprof=research/*.py", **{"X-User": "nobody"})
    get("/handle/4?txprof=research/*.py", **{"X-User": "root"})
    get("/handle/5", **{"X-User": "root"})
    assert [(each.method, each.path, each.query) for each in asked] == [
        ("GET", "/handle/3", "a=b&txprof=research/*.py"),
        ("GET", "/handle/4", "txprof=research/*.py"),
    ]
    assert len(log.reports) == 1


def test_a_permit_that_fails_is_a_no(
    serve: Callable[..., Get], options: dict[str, Any], log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    get = serve(**{**options, "permit": lambda _: 1 / 0})
    for _ in range(2):
        assert get("/handle/3?txprof=research/*.py").text == "3"
    assert log.reports == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "given as permit, failed" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("../*.py", "leads out of the application's root"),
        ("research/../../x.py", "leads out of the application's root"),
        ("/etc/*.py", "is not a pattern of paths below"),
        ("research\\*.py", "is not a pattern of paths below"),
        ("research//x.py", "is not a pattern of paths below"),
        ("C:/x.py", "leads out of the application's root"),
        ("x" * 201, "longer than 200 characters"),
        ("a,b,c,d,e,f,g,h,i,j,k", "11 patterns; 10 are allowed"),
        ("research/(.*).py", "no imported file of the application matches"),
        ("linked/*.py", "no imported file of the application matches"),
    ],
)
def test_patterns_lead_nowhere_else(
    work: Any,
    options: dict[str, Any],
    log: Log,
    pattern: str,
    complaint: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "web_outside.py").write_text("def f(): pass\n")
    (tmp_path / "site" / "linked").symlink_to(outside)
    monkeypatch.syspath_prepend(tmp_path / "site" / "linked")
    importlib.import_module("web_outside")
    application = Client(WSGIMiddleware(flask_application(work, None), **options))
    try:
        answer = application.get(
            "/stream", query_string={"txprof": pattern}, headers=ALLOWED, buffered=True
        )
    finally:
        del sys.modules["web_outside"]
    assert answer.status_code == 200
    assert log.reports == []
    assert complaint in caplog.text


def test_matching_a_name_takes_no_longer_with_many_stars() -> None:
    from txprof_web.files import _matches, _matches_name

    assert not _matches_name("a" * 250, "*a" * 90 + "b")
    assert _matches(("a", "b", "c.py"), ("**", "c.py"))
    assert _matches(("c.py",), ("**", "c.py"))
    assert _matches(("a", "b", "c.py"), ("a", "**", "b", "?.*"))
    assert not _matches(("a", "b", "c.py"), ("*", "c.py"))
    assert not _matches(("a", "b"), ("**", "c"))


@pytest.mark.parametrize("middleware", [WSGIMiddleware, ASGIMiddleware])
@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({}, ValueError, "enabled=True needs permit= or secret="),
        ({"secret": "short"}, ValueError, "secret must have 16 characters or more"),
        ({"secret": b"x" * 20}, TypeError, "secret must be a string, not bytes"),
        ({"permit": "yes"}, TypeError, "permit must be a function of a request, not 'yes'"),
        ({"secret": SECRET, "root": "/no/where"}, ValueError, "root must be a folder"),
        ({"secret": SECRET, "page": "x"}, ValueError, "page must be a path that begins with /"),
        ({"secret": SECRET, "recent": -1}, ValueError, "recent must be 0 or more, not -1"),
        ({"secret": SECRET, "recent": "5"}, TypeError, "recent must be a whole number"),
        ({"secret": SECRET, "header": "X Y"}, ValueError, "header must be of letters"),
        ({"secret": SECRET, "idle": 1}, TypeError, "'idle'"),
    ],
)
def test_wrong_options(
    middleware: Any, options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint.replace("(", "\\(")):
        middleware(None, enabled=True, **options)


def test_permit_may_be_async_where_somebody_awaits_it(
    work: Any, engine: Engine, options: dict[str, Any], log: Log
) -> None:
    async def permit(request: Request) -> bool:
        await asyncio.sleep(0)
        if request.path == "/handle/1":
            raise ZeroDivisionError
        return True

    with pytest.raises(TypeError, match="permit must not be async under WSGI"):
        WSGIMiddleware(None, **{**options, "permit": permit})
    application = ASGIMiddleware(fastapi_application(work, engine), **{**options, "permit": permit})
    with TestClient(application) as client:
        assert client.get("/handle/1?txprof=research/*.py").text == "1"
        assert log.reports == []
        client.get("/handle/3?txprof=research/*.py")
    assert len(log.reports) == 1


# --- beside others ------------------------------------------------------------------------------


def test_off_it_passes_everything_on(
    serve: Callable[..., Get], log: Log, options: dict[str, Any]
) -> None:
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
    serve: Callable[..., Get], options: dict[str, Any], engine: Engine
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


# --- the page -----------------------------------------------------------------------------------


def test_the_page_shows_the_latest_requests_to_who_may_see_it(
    serve: Callable[..., Get], options: dict[str, Any]
) -> None:
    get = serve(**{**options, "recent": 2})
    assert "No request was profiled yet" in get("/__txprof__", **ALLOWED).text
    for number in (3, 4, 5):
        get(f"/handle/{number}?txprof=research/*.py", **ALLOWED)
    page = get("/__txprof__", **ALLOWED)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha")
    assert page.headers["Cache-Control"] == "no-store"
    assert "2 recent requests" in page.text
    assert page.text.index("GET /handle/5") < page.text.index("GET /handle/4")
    assert "GET /handle/3" not in page.text
    assert "1 found" in page.text
    assert "io-in-transaction: rpc billing-5 ×1" in page.text
    assert get("/__txprof__", method="HEAD", **ALLOWED).text == ""
    assert get("/__txprof__", method="POST", **ALLOWED).status_code == 405


def test_the_page_escapes_everything(options: dict[str, Any], work: Any) -> None:
    attack = "<script>alert(1)</script>&\"'\ud800"

    def application(environ: Any, start_response: Any) -> list[bytes]:
        work.step()
        with txprof.external_call("rpc", attack):
            pass
        start_response(f"200 {attack}", [])
        return []

    middleware = WSGIMiddleware(application, **options)
    environ = {
        "REQUEST_METHOD": attack,
        "PATH_INFO": f"/{attack}",
        "QUERY_STRING": "txprof=research/*.py,<script>",
        "HTTP_X_TXPROF_SECRET": SECRET,
    }
    middleware(environ, lambda *_: None)
    show = {"REQUEST_METHOD": "GET", "PATH_INFO": "/__txprof__", "HTTP_X_TXPROF_SECRET": SECRET}
    (page,) = middleware(show, lambda *_: None)
    assert page.count(b"<script") == 0
    assert page.count(b"&lt;script&gt;") >= 3
    assert b"\"'" not in page


def test_a_report_that_cannot_be_logged_is_no_error_of_the_application(
    serve: Callable[..., Get], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    get = serve(**{**options, "log": lambda _: 1 / 0})
    assert get("/handle/3?txprof=research/*.py", **ALLOWED).text == "3"
    assert "a request's report failed" in caplog.text
