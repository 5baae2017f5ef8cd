"""`txprof_web`: the page of the latest requests, and what is logged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from txprof_web import WSGIMiddleware
from web_applications import (
    ALLOWED,
    SECRET,
    Get,
)

import txprof


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


def test_a_forked_child_shows_the_page_whatever_a_thread_was_at() -> None:
    program = """
import os, signal, threading
from collections import deque
from txprof_web.recent import Recent

noting, done = threading.Event(), threading.Event()

class Slow(deque):
    def append(self, profiled):
        noting.set()
        done.wait()

recent = Recent(7)
recent._latest = Slow()
note = dict(method="GET", path="/", status="200", seconds=1.0, asked="*", findings=0, report="")
thread = threading.Thread(target=recent.add, kwargs=note)
thread.start()
noting.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(30)
    assert b"No request was profiled yet" in recent.page()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
done.set()
thread.join()
assert status == 0, status
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
