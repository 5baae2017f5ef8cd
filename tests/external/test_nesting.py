"""What is one call: the outermost layer, for as long as it runs."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import httpx
import requests
from helpers import ApiServer, assert_flagged, calls_seen, line_of
from http_clients import Send, transaction
from sqlalchemy import Engine

import txprof


def test_a_call_within_a_call_is_part_of_it(engine: Engine, api: ApiServer, send: Send) -> None:
    charge = txprof.external_call("rpc", "billing.charge")
    with txprof.profile() as prof, transaction(engine), charge:  # call
        send("POST", api.url())
        send("GET", api.url())
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("rpc", "billing.charge", 1)]


def test_the_next_call_is_a_call_of_its_own(engine: Engine, api: ApiServer, send: Send) -> None:
    with txprof.profile() as prof, transaction(engine):
        with txprof.external_call("rpc", "billing.charge"):
            send("POST", api.url())
        send("GET", api.url())
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1), ("rpc", "billing.charge", 1)]


def test_what_a_hook_of_a_call_sends_is_part_of_it(api: ApiServer) -> None:
    def tell(_: httpx.Response) -> None:
        requests.get(api.url("/told"), timeout=5)

    before = len(api.requests)
    with (
        txprof.profile() as prof,
        httpx.Client(event_hooks={"response": [tell]}, verify=False) as client,
    ):
        client.get(api.url())
    assert api.requests[before:] == ["GET /ok", "GET /told"]
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1)]


def test_a_task_that_outlives_the_call_it_was_started_in_makes_calls_of_its_own(
    api: ApiServer,
) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(verify=False) as client:
            over = asyncio.Event()

            async def later() -> None:
                await over.wait()
                await client.get(api.url())

            async with txprof.external_call("rpc", "billing.charge"):
                task = asyncio.create_task(later())
                await client.get(api.url("/nested"))
            over.set()
            await task

    with txprof.profile() as prof:
        asyncio.run(work())
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1), ("rpc", "billing.charge", 1)]


def test_calls_of_tasks_beside_each_other_are_calls_of_their_own(api: ApiServer) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(verify=False) as client:
            await asyncio.gather(*(client.get(api.url()) for _ in range(3)))

    with txprof.profile() as prof:
        asyncio.run(work())
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 3)]


def test_a_cancelled_call_leaves_the_next_one_alone(api: ApiServer) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(verify=False) as client:
            slow = asyncio.create_task(client.get(api.url("/slow")))
            await client.get(api.url("/first"))
            slow.cancel()
            await asyncio.wait([slow])
            assert slow.cancelled()
            await client.get(api.url("/second"))

    with txprof.profile() as prof:
        asyncio.run(work())
    assert [target for _, target, _ in calls_seen(prof)] == [
        f"GET {api.url(path)}" for path in ("/first", "/second", "/slow")
    ]


def test_a_thread_with_the_context_of_a_call_that_is_over_makes_calls_of_its_own(
    api: ApiServer, send: Send
) -> None:
    with txprof.profile() as prof:
        with txprof.external_call("rpc", "billing.charge"):
            inherited = contextvars.copy_context()
        thread = threading.Thread(target=inherited.run, args=(send, "GET", api.url()))
        thread.start()
        thread.join()
    assert calls_seen(prof) == [("http", f"GET {api.url()}", 1), ("rpc", "billing.charge", 1)]


def test_a_coroutine_under_raise_leaves_no_other_coroutine_unawaited(
    engine: Engine, api: ApiServer
) -> None:
    async def work() -> txprof.TransactionHygieneError | None:
        async with httpx.AsyncClient(verify=False) as client:
            try:
                await client.get(api.url())
            except txprof.TransactionHygieneError as error:
                return error
        return None

    # Under -W error, as here, a coroutine that nobody awaited fails the test.
    with txprof.profile(on_finding="raise"), transaction(engine):
        assert asyncio.run(work()) is not None
