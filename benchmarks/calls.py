"""What txprof adds to an external call, in microseconds.

`txprof.external_call`, and requests and httpx answered without a network, each with nothing open,
while a connection is held, and inside a transaction, where every call is judged as well. Budget: at
most 15 us.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from harness import (
    MISSING,
    Around,
    Samples,
    Table,
    Variant,
    arguments,
    measure,
    micros,
    micros_added,
    verdict,
)
from sqlalchemy import create_engine, text

import txprof

BUDGET = 15e-6
URL = "http://api.example.com/products/1"

engine = create_engine("sqlite://")

Run = Callable[[int], None]


# --- the calls ----------------------------------------------------------------------------------


def empty_block(count: int) -> None:
    """What `external_call` is compared with."""
    for _ in range(count):
        with nullcontext():
            pass


def external_call(count: int) -> None:
    for _ in range(count):
        with txprof.external_call("rpc", "billing.charge"):
            pass


def requests_get() -> Run:
    """A session whose adapter answers at once."""
    requests = importlib.import_module("requests")

    class Answering(requests.adapters.BaseAdapter):  # type: ignore[name-defined, misc]
        def send(self, request: Any, **_options: Any) -> Any:
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response._content = b"ok"
            return response

        def close(self) -> None:
            pass

    session = requests.Session()
    session.trust_env = False
    session.mount("http://", Answering())
    return repeated(session.get)


def httpx_client() -> Any:
    """A client whose transport answers at once."""
    httpx = importlib.import_module("httpx")
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text="ok"))
    return httpx.Client(transport=transport, trust_env=False)


def repeated(get: Callable[[str], object]) -> Run:
    def run(count: int) -> None:
        for _ in range(count):
            get(URL)

    return run


# --- what surrounds them ------------------------------------------------------------------------


@contextmanager
def held() -> Iterator[None]:
    """A connection is out, and no transaction open."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT"):
        yield


@contextmanager
def in_transaction() -> Iterator[None]:
    """A transaction is open that locked a row."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE product SET name = 'two'"))
        yield


STATES: dict[str, Around] = {
    "nothing open": nullcontext,
    "connection held": held,
    "in a transaction": in_transaction,
}


@contextmanager
def without_txprof() -> Iterator[None]:
    """Every wrap is out."""
    txprof.uninstall()
    yield


@contextmanager
def idle() -> Iterator[None]:
    """Every wrap is in, and no profile runs."""
    with txprof.profile():
        pass
    yield


def inside(outer: Around, inner: Around) -> Around:
    """The one in the other."""

    @contextmanager
    def around() -> Iterator[None]:
        with outer(), inner():
            yield

    return around


Call = dict[str, tuple[Run, Around]]
"""How to do a call bare, by a peer, and watched; and inside what."""


def external_calls() -> Call:
    return {"bare": (empty_block, nullcontext), **watched(external_call)}


def requests_calls() -> Call:
    get = requests_get()
    found: Call = {"bare": (get, without_txprof)}
    with suppress(ImportError):
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        module = importlib.import_module("opentelemetry.instrumentation.requests")
        instrumentor, provider = module.RequestsInstrumentor(), sdk.TracerProvider()

        @contextmanager
        def instrumented() -> Iterator[None]:
            instrumentor.instrument(tracer_provider=provider)
            yield
            instrumentor.uninstrument()

        found["OpenTelemetry"] = (get, inside(without_txprof, instrumented))
    return found | watched(get)


def httpx_calls() -> Call:
    get = repeated(httpx_client().get)
    found: Call = {"bare": (get, without_txprof)}
    with suppress(ImportError):
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        module = importlib.import_module("opentelemetry.instrumentation.httpx")
        client = httpx_client()
        module.HTTPXClientInstrumentor.instrument_client(
            client, tracer_provider=sdk.TracerProvider()
        )
        found["OpenTelemetry"] = (repeated(client.get), without_txprof)
    return found | watched(get)


def watched(run: Run) -> Call:
    return {"idle": (run, idle), "txprof": (run, txprof.profile)}


def operations() -> dict[str, list[Variant]]:
    """Each call in each state, with its variants."""
    calls = {
        "txprof.external_call": external_calls,
        "requests, get": requests_calls,
        "httpx, get": httpx_calls,
    }
    found = {}
    for what, variants_of in calls.items():
        try:
            variants = variants_of()
        except ImportError as error:
            print(f"{what} is left out: {error!r}")
            continue
        for state, opened in STATES.items():
            found[f"{what}, {state}"] = [
                Variant(name, run, inside(around, opened))
                for name, (run, around) in variants.items()
            ]
    return found


def main() -> None:
    turns = 1 if arguments(__doc__).quick else 30
    logger = logging.getLogger("txprof")
    logger.propagate = False  # it tells of a finding a turn
    logger.addHandler(logging.NullHandler())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT)"))
        connection.execute(text("INSERT INTO product (id, name) VALUES (1, 'one')"))
    print(table_of(measure(operations(), turns)))


def table_of(samples: dict[str, Samples]) -> Table:
    """A row for each call and what was open around it."""
    table = Table(
        "Microseconds added to an external call",
        *("what", "bare", "OpenTelemetry", "idle", "txprof", "spread", "budget", "verdict"),
    )
    for what, found in samples.items():
        peer = "OpenTelemetry"
        table.add(
            what,
            micros(found.figure("bare")),
            micros_added(found.added(peer)) if peer in found else MISSING,
            micros_added(found.added("idle")),
            micros_added(found.added("txprof")),
            "±" + micros(found.spread("txprof")),
            micros_added(BUDGET),
            verdict(found.added("txprof"), BUDGET),
        )
    return table


if __name__ == "__main__":
    main()
