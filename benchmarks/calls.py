"""What txprof adds to an external call, in microseconds, by family.

One call of each family, answered at once, without a network or a process where that can be: with
nothing open and inside a transaction, where every call is judged as well; some while a connection
is held too. Budgets: at most 15 us while a profile runs, and 0.5 us where the sensors are in and
none does (`idle`).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import smtplib
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from budgets import Row
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
    publish,
)
from sqlalchemy import create_engine, text

import txprof

BUDGET = 15e-6
IDLE_BUDGET = 0.5e-6
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


def aiohttp_get() -> Run:
    """A session whose `_request`, which is what our wrap is around, answers at once."""
    aiohttp = importlib.import_module("aiohttp")

    class Answer:
        content = None

        async def __aenter__(self) -> Answer:
            return self

        async def __aexit__(self, *_error: object) -> None:
            pass

    async def answer(_session: Any, _method: str, _url: str, **_options: Any) -> Any:
        return Answer()

    aiohttp.ClientSession._request = answer

    loop = asyncio.new_event_loop()

    async def opened() -> Any:
        return aiohttp.ClientSession()

    session = loop.run_until_complete(opened())
    session.detach()  # from what would be closed at its end: it answers without

    async def gets(count: int) -> None:
        for _ in range(count):
            async with session.get(URL):
                pass

    return in_event_loop(gets, loop)


def in_event_loop(
    many: Callable[[int], Coroutine[Any, Any, None]], loop: asyncio.AbstractEventLoop | None = None
) -> Run:
    loop = loop or asyncio.new_event_loop()

    def run(count: int) -> None:
        loop.run_until_complete(many(count))

    return run


def boto3_put_object() -> Run:
    """A client of S3 whose requests are answered before they are sent."""
    boto3 = importlib.import_module("boto3")
    awsrequest = importlib.import_module("botocore.awsrequest")

    class Body:
        def stream(self) -> Iterator[bytes]:
            yield b""

    client = boto3.client(
        "s3",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.meta.events.register(
        "before-send.s3",
        lambda request, **_rest: awsrequest.AWSResponse(request.url, 200, {}, Body()),
    )

    def run(count: int) -> None:
        for _ in range(count):
            client.put_object(Bucket="product-images", Key="1", Body=b"image")

    return run


def redis_get() -> Run:
    """Redis, as fakeredis does it in this process."""
    get = importlib.import_module("fakeredis").FakeRedis().get

    def run(count: int) -> None:
        for _ in range(count):
            get("product:1")

    return run


class Postbox:
    """The socket of an SMTP server, and the file to read its answers from."""

    def __init__(self) -> None:
        self._answer = b""

    def sendall(self, sent: bytes) -> None:
        self._answer = b"354 go on\r\n" if sent == b"data\r\n" else b"250 ok\r\n"

    def readline(self, _limit: int) -> bytes:
        return self._answer

    def getpeername(self) -> tuple[str, int]:
        return "mail.example.com", 25

    def close(self) -> None:
        pass


def smtplib_sendmail() -> Run:
    """Messages on one connection; not on one that a call of another sample goes on in."""
    postbox: Any = Postbox()

    def run(count: int) -> None:
        smtp = smtplib.SMTP(local_hostname="shop.example.com")
        smtp.sock = smtp.file = postbox
        for _ in range(count):
            smtp.sendmail("shop@example.com", ["customer@example.com"], "Thank you")

    return run


class Exited(subprocess.Popen[bytes]):
    """A program that has run: no process is started for it."""

    def _execute_child(self, *_arguments: Any) -> None:
        self.pid, self.returncode = 1, 0
        self._child_created = True


def subprocess_wait() -> Run:
    def run(count: int) -> None:
        for _ in range(count):
            Exited(["true"]).wait()

    return run


def time_sleep(seconds: float) -> Run:
    """By `time.sleep`, looked up each time: it is the wrap, or it is not."""

    def run(count: int) -> None:
        for _ in range(count):
            time.sleep(seconds)

    return run


def asyncio_sleep() -> Run:
    """Until the loop's next turn."""

    async def sleeps(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(1e-9)

    return in_event_loop(sleeps)


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


def both(run: Run) -> Call:
    """Without txprof, and with it."""
    return {"bare": (run, without_txprof), **watched(run)}


CALLS: dict[str, Callable[[], Call]] = {
    "txprof.external_call": external_calls,
    "http: requests, get": requests_calls,
    "http: httpx, get": httpx_calls,
    "http: aiohttp, get": lambda: both(aiohttp_get()),
    "storage: boto3, put_object": lambda: both(boto3_put_object()),
    "cache: redis, get": lambda: both(redis_get()),
    "mail: smtplib, sendmail": lambda: both(smtplib_sendmail()),
    "subprocess: Popen, wait": lambda: both(subprocess_wait()),
    "sleep: time.sleep(1e-9)": lambda: both(time_sleep(1e-9)),
    "sleep: time.sleep(0)": lambda: both(time_sleep(0)),
    "sleep: asyncio.sleep(1e-9)": lambda: both(asyncio_sleep()),
}

IN_EVERY_STATE = ("txprof.external_call", "http: requests, get")
"""The others tell nothing new while a connection is held."""


def operations() -> dict[str, list[Variant]]:
    """Each call in each state, with its variants."""
    found = {}
    for what, variants_of in CALLS.items():
        try:
            variants = variants_of()
        except ImportError as error:
            print(f"{what} is left out: {error!r}")
            continue
        for state, opened in STATES.items():
            if opened is held and what not in IN_EVERY_STATE:
                continue
            found[f"{what}, {state}"] = [
                Variant(name, run, inside(around, opened))
                for name, (run, around) in variants.items()
            ]
    return found


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 30
    logger = logging.getLogger("txprof")
    logger.propagate = False  # it tells of a finding a turn
    logger.addHandler(logging.NullHandler())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT)"))
        connection.execute(text("INSERT INTO product (id, name) VALUES (1, 'one')"))
    publish(table_of(measure(operations(), turns)), options)


def table_of(samples: dict[str, Samples]) -> Table:
    """A row for each call and what was open around it."""
    judged = ("spread", "budget", "verdict")
    table = Table(
        "Microseconds added to an external call",
        *("what", "bare", "OpenTelemetry", "idle", *judged, "txprof", *judged),
    )
    for what, found in samples.items():
        peer = "OpenTelemetry"
        idle = ("idle external call", what, "idle")
        watching = ("external call", what, "txprof")
        table.add(
            what,
            micros(found.figure("bare")),
            micros_added(found.added(peer)) if peer in found else MISSING,
            *against("idle", found, table, found.judged_added(*idle, IDLE_BUDGET)),
            *against("txprof", found, table, found.judged_added(*watching, BUDGET)),
        )
    table.note("idle: the sensors are in, and no profile runs")
    table.note("time.sleep(0) gives way to other threads: that is no call, and is not counted")
    return table


def against(name: str, found: Samples, table: Table, row: Row) -> tuple[str, ...]:
    """What a variant adds, how well that repeats, and its budget."""
    return (
        micros_added(found.added(name)),
        "±" + micros(found.spread(name)),
        f"{row.limit:+.2f}",
        table.judge(row),
    )


if __name__ == "__main__":
    main()
