"""`txprof_web`: who may have a request profiled, and for which files."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient
from txprof_web import ASGIMiddleware, Request, WSGIMiddleware
from web_applications import (
    ALLOWED,
    SECRET,
    Get,
    Log,
    fastapi_application,
    flask_application,
)
from werkzeug.test import Client


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


def test_an_async_permit_that_does_not_look_it_is_no_yes_under_wsgi(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def says_no(request: Request) -> bool:
        return False

    permit = functools.partial(operator.call, says_no)
    options = {**options, "secret": None, "permit": permit}
    middleware = WSGIMiddleware(lambda *_: ["app"], **options)
    environ = {"PATH_INFO": "/__txprof__", "REQUEST_METHOD": "GET"}
    assert middleware(environ, lambda *_: None) == ["app"]
    assert "permit must not be async under WSGI" in caplog.text
