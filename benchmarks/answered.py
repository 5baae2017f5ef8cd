"""External calls of each family, answered at once: without a network, and without a process.

They are what `calls` measures. Each says where in its library the answer comes from.
"""

from __future__ import annotations

import asyncio
import importlib
import smtplib
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import nullcontext
from typing import Any

import txprof

URL = "http://api.example.com/products/1"

Run = Callable[[int], None]
"""So many calls."""


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
