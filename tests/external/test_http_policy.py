"""What the settings allow, what `on_finding` does, and whose transactions a call is judged by."""

from __future__ import annotations

import contextlib
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import requests
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, findings_of, line_of
from http_clients import Send, transaction
from sqlalchemy import Engine

import txprof

# --- allowed hosts and kinds --------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["127.0.0.1:{port}", "127.0.0.1", "127.*", "*:{port}", "*"])
def test_a_call_to_an_allowed_host_is_no_finding(
    engine: Engine, api: ApiServer, pattern: str
) -> None:
    allowed = ["other.example", pattern.format(port=api.port)]
    with txprof.profile(allow_hosts=allowed) as prof, transaction(engine):
        requests.get(api.url(), timeout=5)
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


@pytest.mark.parametrize("pattern", ["127.0.0.1:1", "localhost", "127.0.0.2", "*.example.com", ""])
def test_a_call_to_another_host_is_a_finding(engine: Engine, api: ApiServer, pattern: str) -> None:
    with txprof.profile(allow_hosts=[pattern]) as prof, transaction(engine):
        requests.get(api.url(), timeout=5)  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_every_client_tells_its_host(engine: Engine, api: ApiServer, send: Send) -> None:
    with txprof.profile(allow_hosts=[api.host]) as prof, transaction(engine):
        send("GET", api.url())
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_host_is_allowed_with_the_port_of_its_scheme(engine: Engine) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    allowed = ["api.example.com:443"]
    with (
        txprof.profile(allow_hosts=allowed) as prof,
        transaction(engine),
        httpx.Client(transport=transport) as client,
    ):
        client.get("https://API.example.com/v1")
        client.get("http://api.example.com/v1")  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_call_of_an_allowed_kind_is_no_finding(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    with txprof.profile(allow_kinds=["http"]) as prof, transaction(engine):
        send("GET", api.url())
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_call_of_another_kind_is_a_finding(engine: Engine, api: ApiServer, send: Send) -> None:
    with txprof.profile(allow_kinds=["storage", "cache"]) as prof, transaction(engine):
        send("GET", api.url())  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown kind 'htttp'; known are http"):
        txprof.profile(allow_kinds=["htttp"])


# --- on_finding="raise" -------------------------------------------------------------------------


def test_a_call_that_raises_is_not_sent(engine: Engine, api: ApiServer, send: Send) -> None:
    before = len(api.requests)
    with (
        txprof.profile(on_finding="raise") as prof,
        transaction(engine),
        pytest.warns(txprof.TransactionHygieneWarning, match="^io-in-transaction: HTTP POST"),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        send("POST", api.url())  # call
    assert api.requests[before:] == []
    assert caught.value.finding.rule == "io-in-transaction"
    assert caught.value.finding.site.line == line_of("call")
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_the_next_call_raises_too_and_the_first_after_the_transaction_does_not(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    before = len(api.requests)
    with txprof.profile(on_finding="raise"):
        with transaction(engine):
            for _ in range(2):
                with (
                    pytest.warns(txprof.TransactionHygieneWarning),
                    pytest.raises(txprof.TransactionHygieneError),
                ):
                    send("GET", api.url())
        assert send("GET", api.url()) == (200, b"ok")
    assert api.requests[before:] == ["GET /ok"]


def raised_by(engine: Engine, api: ApiServer) -> txprof.TransactionHygieneError:
    with (
        txprof.profile(on_finding="raise"),
        transaction(engine),
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        requests.get(api.url(), timeout=5)
    return caught.value


def test_the_error_says_what_happened_where_and_what_to_do(engine: Engine, api: ApiServer) -> None:
    error = raised_by(engine, api)
    finding = error.finding
    assert f"HTTP GET {api.host}/ok inside the transaction" in str(error)
    assert f"({__file__}:{finding.site.line} in {finding.site.function})" in str(error)
    assert str(error).endswith(f"To fix it: {finding.hint}")
    assert "open a new one to write" in finding.hint


def test_the_error_survives_pickling(engine: Engine, api: ApiServer) -> None:
    error = raised_by(engine, api)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is txprof.TransactionHygieneError
    assert (str(copy), copy.finding) == (str(error), error.finding)


def test_a_broad_except_that_eats_the_error_does_not_eat_the_warning(
    engine: Engine, api: ApiServer
) -> None:
    with (
        txprof.profile(on_finding="raise"),
        transaction(engine),
        pytest.warns(txprof.TransactionHygieneWarning, match=f"HTTP GET {api.host}/ok"),
        contextlib.suppress(Exception),
    ):
        requests.get(api.url(), timeout=5)


def test_an_allowed_call_goes_out_under_raise(engine: Engine, api: ApiServer, send: Send) -> None:
    with (
        txprof.profile(on_finding="raise") as prof,
        transaction(engine),
        txprof.allow("io-in-transaction", reason="the test says so"),
    ):
        assert send("GET", api.url()) == (200, b"ok")
    assert_clean(prof)


# --- on_finding=callable ------------------------------------------------------------------------


def test_what_a_callable_sends_itself_is_no_call_of_the_program(
    engine: Engine, api: ApiServer
) -> None:
    told: list[txprof.Finding] = []

    def post(finding: txprof.Finding) -> None:
        told.append(finding)
        requests.post(api.url("/chat"), data=finding.message, timeout=5)

    before = len(api.requests)
    with txprof.profile(on_finding=post) as prof, transaction(engine):
        for _ in range(3):
            requests.get(api.url(), timeout=5)
    assert api.requests[before:] == ["POST /chat", "GET /ok", "GET /ok", "GET /ok"]
    assert len(told) == 1
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 3)]


def test_an_error_of_the_callable_reaches_the_program_and_the_call_is_not_sent(
    engine: Engine, api: ApiServer
) -> None:
    def refuse(finding: txprof.Finding) -> None:
        raise LookupError(finding.rule)

    before = len(api.requests)
    with (
        txprof.profile(on_finding=refuse),
        transaction(engine),
        pytest.raises(LookupError, match=r"^io-in-transaction$"),
    ):
        requests.get(api.url(), timeout=5)
    assert api.requests[before:] == []


# --- other threads ------------------------------------------------------------------------------


def test_a_call_in_a_thread_of_its_own_is_not_in_this_threads_transaction(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    opened, called = threading.Event(), threading.Event()

    def work() -> None:
        assert opened.wait(10)
        send("GET", api.url())
        called.set()

    with txprof.profile() as prof, ThreadPoolExecutor(1) as executor:
        working = executor.submit(work)
        with transaction(engine):
            opened.set()
            assert called.wait(10)
        working.result(10)
    assert findings_of(prof, "io-in-transaction") == []
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_call_in_another_thread_is_judged_by_the_transaction_open_there(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    def work() -> None:
        with transaction(engine):
            send("GET", api.url())  # call

    with txprof.profile() as prof, ThreadPoolExecutor(1) as executor:
        executor.submit(work).result(10)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_transaction_in_another_thread_is_not_this_threads(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    opened, called = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction(engine):
            opened.set()
            assert called.wait(10)

    with txprof.profile() as prof, ThreadPoolExecutor(1) as executor:
        holding = executor.submit(hold)
        assert opened.wait(10)
        send("GET", api.url())
        called.set()
        holding.result(10)
    assert findings_of(prof, "io-in-transaction") == []
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]
