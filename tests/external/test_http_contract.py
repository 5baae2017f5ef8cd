"""One contract for every HTTP client: one logical call is one call, and nothing else changes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import requests
import urllib3
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from http_clients import (
    CLIENTS,
    REFUSED,
    TIMED_OUT,
    Send,
    outcome,
    transaction,
    unused_port,
)
from sqlalchemy import Engine

import txprof

FOLLOWING = [name for name in CLIENTS if name != "http.client"]


def test_a_call_after_the_transaction_is_clean(engine: Engine, api: ApiServer, send: Send) -> None:
    with txprof.profile() as prof:
        with transaction(engine):
            pass
        send("GET", api.url())
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_refused_connection_is_one_call(engine: Engine, send: Send) -> None:
    url = f"http://127.0.0.1:{unused_port()}/ok"
    with txprof.profile() as prof, transaction(engine), pytest.raises(REFUSED):
        send("GET", url)  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["target"] == f"GET {url}"


def test_a_timeout_is_one_call_that_took_as_long(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    with txprof.profile() as prof, transaction(engine), pytest.raises(TIMED_OUT):
        send("POST", api.url("/slow"), timeout=0.4)  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["target"] == f"POST {api.url('/slow')}"
    assert finding.seconds is not None
    assert finding.seconds > 0.39


@pytest.mark.parametrize("client", FOLLOWING)
def test_a_followed_redirect_is_one_call_to_the_first_url(
    engine: Engine, api: ApiServer, client: str
) -> None:
    before = len(api.requests)
    with txprof.profile() as prof, transaction(engine):
        assert CLIENTS[client]("GET", api.url("/redirect")) == (200, b"ok")  # call
    assert api.requests[before:] == ["GET /redirect", "GET /ok"]
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url('/redirect')}", 1)]


def _retried_by_requests(url: str) -> int:
    retries = urllib3.Retry(total=2, status_forcelist=[503], raise_on_status=False)
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        return session.get(url, timeout=5).status_code


def _retried_by_urllib3(url: str) -> int:
    retries = urllib3.Retry(total=2, status_forcelist=[503], raise_on_status=False)
    with urllib3.PoolManager(retries=retries) as manager:
        return manager.request("GET", url).status


def _retried_by_a_pool(url: str) -> int:
    retries = urllib3.Retry(total=2, status_forcelist=[503], raise_on_status=False)
    with urllib3.connection_from_url(url) as pool:
        return pool.request("GET", "/status/503", retries=retries).status


@pytest.mark.parametrize("get", [_retried_by_requests, _retried_by_urllib3, _retried_by_a_pool])
def test_a_call_that_retries_is_one_call(
    engine: Engine, api: ApiServer, get: Callable[[str], int]
) -> None:
    before = len(api.requests)
    with txprof.profile() as prof, transaction(engine):
        assert get(api.url("/status/503")) == 503  # call
    assert api.requests[before:] == ["GET /status/503"] * 3
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url('/status/503')}", 1)]


def test_a_streamed_body_is_part_of_its_call(engine: Engine, api: ApiServer, send: Send) -> None:
    with txprof.profile() as prof, transaction(engine):
        assert send("GET", api.url("/stream"), stream=True) == (200, b"one two three")  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url('/stream')}", 1)]


def test_two_calls_from_one_line_are_one_finding_of_two(
    engine: Engine, api: ApiServer, send: Send
) -> None:
    with txprof.profile() as prof, transaction(engine):
        for _ in range(2):
            send("GET", api.url())  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=2)


_SAME: dict[str, Callable[[Send, ApiServer], Any]] = {
    "success": lambda send, api: send("POST", api.url(), body=b"body", headers={"X-A": "b"}),
    "error status": lambda send, api: send("GET", api.url("/status/500")),
    "streamed body": lambda send, api: send("GET", api.url("/stream"), stream=True),
    "redirect": lambda send, api: send("GET", api.url("/redirect")),
    "timeout": lambda send, api: send("GET", api.url("/slow"), timeout=0.4),
    "refused": lambda send, api: send("GET", f"http://127.0.0.1:{_PORT}/ok"),
    "no such scheme": lambda send, api: send("GET", "nothing://127.0.0.1/ok"),
    "no such port": lambda send, api: send("GET", "http://127.0.0.1:port/ok"),
    "a bad method": lambda send, api: send("G T", api.url()),
}
_PORT = unused_port()


@pytest.mark.parametrize("situation", _SAME)
def test_a_call_returns_and_raises_what_it_does_without_txprof(
    engine: Engine, api: ApiServer, send: Send, situation: str
) -> None:
    call = functools.partial(_SAME[situation], send, api)
    txprof.uninstall()
    without = outcome(call)
    with txprof.profile() as prof, transaction(engine):
        watched = outcome(call)
    assert watched == without
    if situation not in ("no such scheme", "no such port"):
        assert_flagged(prof, "io-in-transaction", count=1)
