"""A program beside another tool that watches it: `python peers.py TOOL URL` prints what both saw.

Everything is imported once; each order of switching the two on and off runs in a fork of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import runpy
import sys
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import boto3
import fakeredis
import httpx
import requests
import sqlalchemy
import urllib3
from botocore.stub import Stubber
from sqlalchemy import text

import txprof

TOOLS = Path(__file__).parents[2] / "tools"
forked = runpy.run_path(str(TOOLS / "forked.py"))["forked"]

# --- what the program does ----------------------------------------------------------------------


def _requests(url: str) -> object:
    return requests.get(url, timeout=10).text


def _httpx(url: str) -> object:
    with httpx.Client(verify=False) as client:
        return client.get(url).text


def _httpx_async(url: str) -> object:
    async def get() -> object:
        async with httpx.AsyncClient(verify=False) as client:
            return (await client.get(url)).text

    return asyncio.run(get())


def _urllib3(url: str) -> object:
    with urllib3.PoolManager() as manager:
        return manager.request("GET", url).data.decode()


def _urllib(url: str) -> object:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def _aiohttp(url: str) -> object:
    async def get() -> object:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()

    return asyncio.run(get())


def _redis(_url: str) -> object:
    with fakeredis.FakeRedis() as client:
        client.set("name", "value")
        return "ok"


def _botocore(_url: str) -> object:
    client = boto3.client("s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stubber:
        stubber.add_response("put_object", {"ETag": "ok"})
        found = client.put_object(Bucket="images", Key="one", Body=b"1")["ETag"]
    client.close()
    return found


def _refused(_url: str) -> object:
    try:
        return requests.get("http://127.0.0.1:1/refused", timeout=10).text
    except requests.ConnectionError as error:
        return type(error).__name__


CALLS: dict[str, Callable[[str], object]] = {
    "requests": _requests,
    "httpx": _httpx,
    "httpx async": _httpx_async,
    "urllib3": _urllib3,
    "urllib.request": _urllib,
    "aiohttp": _aiohttp,
    "redis": _redis,
    "botocore": _botocore,
    "refused": _refused,
}


def program(url: str) -> dict[str, object]:
    """Every call once, inside a transaction; what each returned."""
    engine = sqlalchemy.create_engine("sqlite://")  # where OpenTelemetry sees it
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        answers = {name: call(f"{url}/{name.replace(' ', '-')}") for name, call in CALLS.items()}
    engine.dispose()
    return answers


# --- the other tool -----------------------------------------------------------------------------


class Peer(Protocol):
    """Another tool; once off it may leave its wraps in, asleep."""

    def on(self) -> None: ...
    def off(self) -> None: ...
    def spans(self) -> list[str]:
        """What it saw since it was asked last."""


class OpenTelemetry:
    def __init__(self) -> None:
        from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
        from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.instrumentation.redis import RedisInstrumentor
        from opentelemetry.instrumentation.requests import RequestsInstrumentor
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from opentelemetry.instrumentation.urllib import URLLibInstrumentor
        from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._instrumentors = [
            AioHttpClientInstrumentor(),
            BotocoreInstrumentor(),
            HTTPXClientInstrumentor(),
            RedisInstrumentor(),
            RequestsInstrumentor(),
            SQLAlchemyInstrumentor(),  # does nothing for a version that it does not know
            URLLibInstrumentor(),
            URLLib3Instrumentor(),
        ]

    def on(self) -> None:
        for instrumentor in self._instrumentors:
            instrumentor.instrument(tracer_provider=self._provider)

    def off(self) -> None:
        for instrumentor in self._instrumentors:
            instrumentor.uninstrument()

    def spans(self) -> list[str]:
        found = [span.name for span in self._exporter.get_finished_spans()]
        self._exporter.clear()
        return found


class Sentry:
    def __init__(self) -> None:
        import sentry_sdk
        from sentry_sdk.transport import Transport

        self._sdk = sentry_sdk
        self._spans: list[str] = []
        spans = self._spans

        class Keep(Transport):
            def capture_envelope(self, envelope: Any) -> None:
                event = envelope.get_transaction_event() or {}
                spans.extend(str(span.get("op")) for span in event.get("spans", ()))

        self._transport = Keep

    def on(self) -> None:
        self._sdk.init(
            dsn="http://key@127.0.0.1:1/1",
            transport=self._transport,
            traces_sample_rate=1.0,
            shutdown_timeout=0,
        )

    def off(self) -> None:
        self._sdk.get_client().close()
        self._sdk.init()

    def spans(self) -> list[str]:
        found = list(self._spans)
        self._spans.clear()
        return found

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        with self._sdk.start_transaction(name="program"):
            yield


class Ddtrace:
    def __init__(self) -> None:
        import ddtrace
        from ddtrace.trace import TraceFilter, tracer

        spans: list[str] = []

        class Keep(TraceFilter):  # type: ignore[misc]
            def process_trace(self, trace: Any) -> None:
                spans.extend(span.name for span in trace)

        tracer.configure(trace_processors=[Keep()])
        self._spans = spans
        self._ddtrace = ddtrace

    def on(self) -> None:
        names = ("aiohttp", "botocore", "httpx", "redis", "requests", "sqlalchemy", "urllib3")
        self._ddtrace.patch(**dict.fromkeys(names, True))

    def off(self) -> None:
        for name in ("aiohttp", "botocore", "httpx", "redis", "requests", "sqlalchemy", "urllib3"):
            module = __import__(f"ddtrace.contrib.internal.{name}.patch", fromlist=["unpatch"])
            module.unpatch()

    def spans(self) -> list[str]:
        found = list(self._spans)
        self._spans.clear()
        return found


PEERS: dict[str, Callable[[], Peer]] = {
    "opentelemetry": OpenTelemetry,
    "sentry_sdk": Sentry,
    "ddtrace": Ddtrace,
}

ORDERS = {
    "the peer alone": ["peer on"],
    "ours first, the peer's off first": ["ours on", "peer on", "peer off", "ours off"],
    "ours first, ours off first": ["ours on", "peer on", "ours off", "ours on", "peer off"],
    "the peer first, the peer's off first": ["peer on", "ours on", "peer off", "ours off"],
    "the peer first, ours off first": ["peer on", "ours on", "ours off", "ours on", "peer off"],
}


def watched(peer: Peer, url: str) -> dict[str, Any]:
    """What the program returns, and both see, in the state that they are in."""
    around = getattr(peer, "around", contextlib.nullcontext)
    with around():
        if not watched_by_us:
            answers, calls, statements, findings = program(url), None, None, None
        else:
            with txprof.profile(on_finding="ignore") as profile:
                answers = program(url)
            rows = profile.recorded.external_calls
            calls = sorted([row.target.replace(url, ""), row.count] for row in rows)
            statements = sum(row.count for row in profile.recorded.statements)
            findings = sum(
                finding.count for finding in profile.findings if finding.rule == "io-in-transaction"
            )
    return {
        "answers": answers,
        "calls": calls,
        "statements": statements,
        "findings": findings,
        "spans": sorted(peer.spans()),
    }


watched_by_us = False


def run(make: Callable[[], Peer], url: str, steps: list[str]) -> list[dict[str, Any]]:
    """What is seen after each step."""
    global watched_by_us
    peer = make()
    seen = []
    for step in steps:
        who, what = step.split()
        if who == "peer":
            peer.on() if what == "on" else peer.off()
        else:
            watched_by_us = what == "on"
            if not watched_by_us:
                txprof.uninstall()
        seen.append({"step": step, **watched(peer, url)})
    return seen


def main(tool: str, url: str) -> None:
    """Print, by order, what was seen after each step."""
    warnings.simplefilter("ignore")  # of the libraries
    make = PEERS[tool]
    __import__(tool)
    found = {
        order: forked(functools.partial(run, make, url, steps)) for order, steps in ORDERS.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
