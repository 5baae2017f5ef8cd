"""gRPC: what a call brings after it returned, and where it goes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_server import DELAY, Stubs, stubs
from helpers import assert_clean, assert_flagged, calls_seen, line_of
from http_clients import everything_said, transaction
from sqlalchemy import Engine

import txprof
from txprof.clock import clock
from txprof.sensors.grpc import _host


@pytest.fixture
def on(grpc_address: str) -> Iterator[Stubs]:
    """The methods of the service, on a channel."""
    with grpc.insecure_channel(grpc_address) as channel:
        yield stubs(channel)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes whenever somebody looks at the clock: a call is one, each wait another."""
    monkeypatch.setattr(clock, "now", itertools.count(0.0).__next__)


def seconds_seen(profile: txprof.Profile) -> float:
    return sum(row.seconds for row in profile.recorded.external_calls)


# --- futures and streams ------------------------------------------------------------------------


def test_a_call_takes_as_long_as_its_answer(engine: Engine, on: Stubs) -> None:
    with txprof.profile() as prof, transaction(engine):
        assert on.slow(b"a") == b"A"  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.seconds is not None
    assert finding.seconds > DELAY * 0.9


def test_the_time_of_a_future_is_until_its_result_is_there(
    engine: Engine, on: Stubs, ticking: None
) -> None:
    with txprof.profile() as prof, transaction(engine):
        future = on.slow.future(b"a")  # call
        assert future.result(timeout=60) == b"A"
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "rpc"
    assert finding.details["target"] == "grpc /shop.Prices/Slow"
    assert finding.seconds == 2


@pytest.mark.parametrize("wait", ["result", "exception", "code", "details", "trailing_metadata"])
def test_a_future_waited_for_in_a_later_transaction_is_a_finding_there(
    engine: Engine, on: Stubs, wait: str
) -> None:
    with txprof.profile() as prof:
        future = on.slow.future(b"a")
        with transaction(engine):
            getattr(future, wait)()  # wait
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Slow", 1)]


def test_a_future_waited_for_after_its_transaction_adds_no_finding(
    engine: Engine, on: Stubs
) -> None:
    with txprof.profile() as prof:
        with transaction(engine):
            future = on.slow.future(b"a")  # call
        assert future.result(timeout=60) == b"A"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_the_time_of_a_stream_is_until_its_end(engine: Engine, on: Stubs, ticking: None) -> None:
    with txprof.profile() as prof, transaction(engine):
        parts = on.trickle(b"a")  # call
        assert list(parts) == [b"first", b"last"]
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.seconds == 4  # the call, two parts, the end


def test_a_stream_read_in_a_later_transaction_is_a_finding_there(engine: Engine, on: Stubs) -> None:
    with txprof.profile() as prof:
        parts = on.trickle(b"a")
        assert next(parts) == b"first"
        with transaction(engine):
            assert next(parts) == b"last"  # read
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Trickle", 1)]


def test_a_stream_read_where_nothing_is_open_is_clean(on: Stubs, ticking: None) -> None:
    with txprof.profile() as prof:
        assert list(on.trickle(b"a")) == [b"first", b"last"]
    assert_clean(prof)
    assert seconds_seen(prof) == 4


# --- asyncio ------------------------------------------------------------------------------------


def in_asyncio(address: str, work: Any) -> Any:
    """What the work with the methods of the service gives."""

    async def main() -> Any:
        async with grpc.aio.insecure_channel(address) as channel:
            return await work(stubs(channel))

    return asyncio.run(main())


def test_the_time_of_an_awaited_call_is_until_it_is_there(
    engine: Engine, grpc_address: str, ticking: None
) -> None:
    async def work(on: Stubs) -> None:
        with transaction(engine):
            call = on.slow(b"a")  # call
            assert await call == b"A"

    with txprof.profile() as prof:
        in_asyncio(grpc_address, work)
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.seconds == 2


@pytest.mark.parametrize("wait", ["__await__", "code", "initial_metadata", "wait_for_connection"])
def test_a_call_awaited_in_a_later_transaction_is_a_finding_there(
    engine: Engine, grpc_address: str, wait: str
) -> None:
    async def work(on: Stubs) -> None:
        call = on.slow(b"a")
        with transaction(engine):
            await (call if wait == "__await__" else getattr(call, wait)())  # wait
        await call

    with txprof.profile() as prof:
        in_asyncio(grpc_address, work)
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Slow", 1)]


@pytest.mark.parametrize("way", ["iterate", "read"])
def test_a_stream_awaited_in_a_later_transaction_is_a_finding_there(
    engine: Engine, grpc_address: str, way: str
) -> None:
    async def work(on: Stubs) -> None:
        call = on.trickle(b"a")
        parts = aiter(call) if way == "iterate" else None
        read = call.read if parts is None else parts.__anext__
        assert await read() == b"first"
        with transaction(engine):
            assert await read() == b"last"  # read

    with txprof.profile() as prof:
        in_asyncio(grpc_address, work)
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Trickle", 1)]


def test_a_call_cancelled_while_it_is_awaited_is_cancelled_and_counted(
    engine: Engine, grpc_address: str
) -> None:
    async def work(on: Stubs) -> bool:
        started = asyncio.Event()

        async def wait() -> None:
            with transaction(engine):
                call = on.slow(b"a")
                started.set()
                await call

        waiting = asyncio.create_task(wait())
        await started.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        return waiting.cancelled()

    with txprof.profile() as prof:
        assert in_asyncio(grpc_address, work) is True
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Slow", 1)]


# --- raising, hosts, what is told ---------------------------------------------------------------


def test_a_call_that_raises_is_not_sent(engine: Engine, on: Stubs) -> None:
    with txprof.profile(on_finding="raise"), transaction(engine):
        for call in (on.echo, on.echo.future, on.parts, on.talk):
            with (
                pytest.warns(txprof.TransactionHygieneWarning, match="grpc /shop.Prices/"),
                pytest.raises(txprof.TransactionHygieneError),
            ):
                call(iter([b"a"]) if call is on.talk else b"a")
    assert on.echo(b"a") == b"A"


def test_an_awaited_call_that_raises_leaves_nothing_unawaited(
    engine: Engine, grpc_address: str
) -> None:
    async def work(on: Stubs) -> bytes:
        call = on.echo(b"a")
        with (
            transaction(engine),
            pytest.warns(txprof.TransactionHygieneWarning),
            pytest.raises(txprof.TransactionHygieneError),
        ):
            await call
        return bytes(await call)

    with txprof.profile(on_finding="raise"):
        assert in_asyncio(grpc_address, work) == b"A"


def test_an_allowed_host_is_that_of_the_channel(
    engine: Engine, grpc_address: str, on: Stubs
) -> None:
    async def work(on: Stubs) -> bytes:
        return bytes(await on.echo(b"b"))

    with txprof.profile(allow_hosts=[grpc_address]) as prof, transaction(engine):
        assert on.echo(b"a") == b"A"
        assert in_asyncio(grpc_address, work) == b"B"
    assert_clean(prof)
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Echo", 2)]


def test_a_channel_that_is_older_than_the_sensors_is_watched(
    engine: Engine, grpc_address: str
) -> None:
    txprof.uninstall()

    async def work() -> None:
        async with grpc.aio.insecure_channel(grpc_address) as channel:
            on = stubs(channel)
            with txprof.profile() as prof:
                assert await on.echo(b"a") == b"A"
            assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Echo", 1)]

    asyncio.run(work())
    txprof.uninstall()
    with grpc.insecure_channel(grpc_address) as channel:
        on = stubs(channel)
        with txprof.profile(allow_hosts=[grpc_address]) as prof, transaction(engine):
            assert on.echo(b"a") == b"A"
    assert_clean(prof)
    assert calls_seen(prof) == [("rpc", "grpc /shop.Prices/Echo", 1)]


def test_neither_request_nor_metadata_is_shown(engine: Engine, on: Stubs, tmp_path: Path) -> None:
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        on.echo(b"planted-request", metadata=(("authorization", "planted-token"),))
    said = everything_said(prof, tmp_path)
    assert "grpc /shop.Prices/Echo" in said
    assert "planted" not in said.lower().replace("test_neither_request", "")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("billing.internal:50051", "billing.internal:50051"),
        ("billing.internal", "billing.internal:443"),
        ("dns:///billing.internal:50051", "billing.internal:50051"),
        ("dns://8.8.8.8/billing.internal:50051", "billing.internal:50051"),
        ("dns:billing.internal", "billing.internal:443"),
        ("ipv4:10.0.0.1:50051,10.0.0.2:50051", "10.0.0.1:50051"),
        ("ipv6:[::1]:50051", "[::1]:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("[::1]", "[::1]:443"),
        ("unix:/run/billing.sock", "/run/billing.sock"),
        ("xds:///billing", "billing:443"),
    ],
)
def test_the_host_is_read_from_the_target(target: str, host: str) -> None:
    assert _host(target) == host
