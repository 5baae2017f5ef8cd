"""A body that is read after its call returned: part of the call, wherever it is read."""

from __future__ import annotations

import asyncio
import functools
import http.client
import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from unittest import mock

import httpx
import httpx2
import pytest
from helpers import assert_clean, assert_flagged, calls_seen, line_of
from http_bodies import BODY, OPENERS, Opened, requests_iter, requests_raw
from http_clients import Send, outcome, transaction
from loopback import Handler, Server
from sqlalchemy import Engine

import txprof
from txprof.clock import clock
from txprof.sensors.external import ExternalCall
from txprof.sensors.streams import forget, keep, kept

DELAY, STALLED = 0.05, 3.0
STALLING = threading.Event()  # never set: a sleep would be a call of this process


class _SlowBody(Handler):
    """Headers and a first part at once; the rest after DELAY, or STALLED at /stalled. Chunked at
    /chunked.
    """

    def do_GET(self) -> None:
        chunked = self.path == "/chunked"
        self.send_response(200)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        for part in (BODY[:6], BODY[6:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            if part == BODY[:6]:
                STALLING.wait(STALLED if self.path == "/stalled" else DELAY)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server whose bodies are slow."""
    with Server(_SlowBody).running() as slow:
        yield slow.url


@pytest.fixture(params=["plain", "chunked"])
def url(server: str, request: pytest.FixtureRequest) -> str:
    """A slow body, in either transfer encoding."""
    return f"{server}/{request.param}"


@pytest.fixture(params=OPENERS)
def opened(request: pytest.FixtureRequest) -> Opened:
    """Asks for a body and gives what reads it."""
    return OPENERS[request.param]


def seconds_seen(profile: txprof.Profile) -> float:
    return sum(row.seconds for row in profile.recorded.external_calls)


def test_the_time_of_a_call_is_until_the_end_of_its_body(
    engine: Engine, url: str, send: Send
) -> None:
    with txprof.profile() as prof, transaction(engine):
        assert send("GET", url, stream=True) == (200, BODY)  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.seconds is not None
    assert finding.seconds > DELAY * 0.9


def test_a_body_read_in_the_transaction_of_its_call_is_part_of_that_finding(
    engine: Engine, url: str, opened: Opened
) -> None:
    with txprof.profile() as prof, transaction(engine), opened(url) as read:  # call
        assert read() == BODY
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.seconds is not None
    assert finding.seconds > DELAY * 0.9
    assert calls_seen(prof) == [("http", f"GET {url}", 1)]


def test_a_body_read_in_a_later_transaction_is_a_finding_at_the_reading_line(
    engine: Engine, url: str, opened: Opened
) -> None:
    with txprof.profile() as prof, opened(url) as read, transaction(engine):
        assert read() == BODY  # read
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert finding.seconds == seconds_seen(prof)
    assert calls_seen(prof) == [("http", f"GET {url}", 1)]


def test_a_body_read_after_the_transaction_of_its_call_adds_no_finding(
    engine: Engine, url: str, opened: Opened
) -> None:
    with txprof.profile() as prof:
        with transaction(engine):
            body = opened(url)
            read = body.__enter__()  # call
        assert read() == BODY
        body.__exit__(None, None, None)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_body_read_with_nothing_open_is_clean(url: str, opened: Opened) -> None:
    with txprof.profile() as prof, opened(url) as read:
        assert read() == BODY
    assert_clean(prof)
    assert calls_seen(prof) == [("http", f"GET {url}", 1)]
    assert seconds_seen(prof) > DELAY * 0.9


def test_reading_in_a_transaction_raises_under_raise(
    engine: Engine, url: str, opened: Opened
) -> None:
    with (
        txprof.profile(on_finding="raise"),
        opened(url) as read,
        transaction(engine),
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        read()  # read
    assert caught.value.finding.site.line == line_of("read")


def test_each_attempt_to_read_in_a_transaction_raises_under_raise(engine: Engine, url: str) -> None:
    with txprof.profile(on_finding="raise") as prof, requests_raw(url) as read:
        with transaction(engine):
            for _ in range(2):
                with (
                    pytest.warns(txprof.TransactionHygieneWarning),
                    pytest.raises(txprof.TransactionHygieneError),
                ):
                    read()
        assert read() == BODY
    assert_flagged(prof, "io-in-transaction", count=2)
    assert calls_seen(prof) == [("http", f"GET {url}", 2)]


def test_an_async_body_read_in_a_later_transaction_is_a_finding_at_the_reading_line(
    engine: Engine, url: str
) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(verify=False) as client, client.stream("GET", url) as response:
            with transaction(engine):
                assert b"".join([part async for part in response.aiter_raw()]) == BODY  # read

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)


def test_a_body_of_nobody_who_watched_its_call_is_not_seen(engine: Engine, url: str) -> None:
    with requests_iter(url) as read, txprof.profile() as prof, transaction(engine):
        assert read() == BODY
    assert calls_seen(prof) == []


def test_a_body_that_stalls_raises_what_it_does_without_txprof(server: str, send: Send) -> None:
    stall = functools.partial(send, "GET", f"{server}/stalled", stream=True, timeout=0.4)
    txprof.uninstall()
    without = outcome(stall)
    assert without[0] == "raised"
    with txprof.profile():
        assert outcome(stall) == without


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_response_pickles_as_it_does_without_txprof(server: str, module: Any) -> None:
    with txprof.profile(), module.Client(verify=False) as client:
        with client.stream("GET", f"{server}/plain") as response:
            response.read()
            copy = pickle.loads(pickle.dumps(response))
        assert copy.content == BODY
        assert copy.read() == BODY


def test_a_connection_used_again_makes_calls_of_its_own(server: str) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=5)
    with txprof.profile() as prof:
        for path in ("/plain", "/chunked"):
            connection.request("GET", path)
            assert connection.getresponse().read() == BODY
    connection.close()
    assert calls_seen(prof) == [
        ("http", f"GET {server}/chunked", 1),
        ("http", f"GET {server}/plain", 1),
    ]


def test_a_connection_used_again_where_nobody_watches_adds_nothing(server: str) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=5)

    def ask() -> None:
        connection.request("GET", "/plain")
        assert connection.getresponse().read() == BODY

    watched = txprof.profile(report=None)(ask)
    watched()
    before = seconds_seen(watched.__txprof__)
    ask()
    connection.close()
    assert seconds_seen(watched.__txprof__) == before > 0


@pytest.fixture
def tick(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Iterator[bytes]]:
    """A body that takes an hour to produce; no other time passes."""
    hours = itertools.count()
    now = [0.0]
    monkeypatch.setattr(clock, "now", lambda: now[0])

    def body() -> Iterator[bytes]:
        now[0] = 3600.0 * (next(hours) + 1)
        yield b"x"

    return body


def test_the_time_to_send_a_body_is_part_of_the_call(
    server: str, tick: Callable[[], Iterator[bytes]]
) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=5)
    with txprof.profile() as prof, closing(connection):
        connection.request("GET", "/plain", tick(), {"Content-Length": "1"})
    assert seconds_seen(prof) == 3600


def test_the_time_to_send_a_body_piece_by_piece_is_part_of_the_call(
    server: str, tick: Callable[[], Iterator[bytes]]
) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=5)
    with txprof.profile() as prof, closing(connection):
        connection.putrequest("GET", "/plain")
        connection.putheader("Content-Length", "2")
        connection.endheaders()
        for _ in range(2):
            connection.send(tick())
    assert seconds_seen(prof) == 7200
    assert [row.longest for row in prof.recorded.external_calls] == [7200]


def test_an_answer_waited_for_in_a_later_transaction_is_a_finding_there(
    engine: Engine, server: str
) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=5)
    with txprof.profile() as prof:
        connection.request("GET", "/plain")
        with transaction(engine):
            assert connection.getresponse().read() == BODY  # wait
    connection.close()
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)


# --- the object that it is read from ------------------------------------------------------------


class Stream:
    """What is read, and keeps nothing secret."""


class Delegating:
    """What answers for a stream in all that it has not itself."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Answering:
    """What has an answer to everything."""

    def __getattribute__(self, name: str) -> Any:
        return f"its {name}"


@pytest.fixture
def call() -> ExternalCall:
    return ExternalCall(None, [])


def test_a_call_is_kept_until_it_is_forgotten(call: ExternalCall) -> None:
    stream = Stream()
    for each in (stream, Delegating(stream)):
        keep(call, each)
        assert kept(each) is call
        forget(each)
        assert kept(each) is None


def test_who_answers_for_a_stream_has_not_its_call(call: ExternalCall) -> None:
    stream = Stream()
    keep(call, stream)
    assert kept(Delegating(stream)) is None


@pytest.mark.parametrize("stream", [None, 1, object(), Answering(), mock.Mock(spec=[]), Stream])
def test_what_has_no_room_for_a_call_has_none(stream: Any) -> None:
    assert kept(stream) is None


@pytest.mark.parametrize("stream", [None, 1, object(), Stream])
def test_what_has_no_room_for_a_call_is_given_none(stream: Any, call: ExternalCall) -> None:
    keep(call, stream)
    forget(stream)
    assert kept(stream) is None
