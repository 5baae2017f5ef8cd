"""What is called under which mock, for the table that `tools/mocks.py` makes."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

URL = "http://api.example.com/v1/chat"

Ask = Callable[[], object]


class Mock(NamedTuple):
    """What to call while `answering` is entered, by client."""

    answering: Callable[[], AbstractContextManager[Any]]
    clients: dict[str, Ask]
    needs: tuple[str, ...]
    """Modules of the mock's."""


def load(module: str) -> Any:
    """A library, none of which has to be installed."""
    return importlib.import_module(module)


# --- the clients --------------------------------------------------------------------------------


def ask_requests() -> object:
    requests = load("requests")

    return requests.get(URL, timeout=5).text


def ask_urllib3() -> object:
    urllib3 = load("urllib3")

    with urllib3.PoolManager() as manager:
        return manager.request("GET", URL).data.decode()


def ask_urllib() -> object:
    with load("urllib.request").urlopen(URL, timeout=5) as response:
        return response.read().decode()


def ask_http_client() -> object:
    connection = load("http.client").HTTPConnection("api.example.com", timeout=5)
    try:
        connection.request("GET", "/v1/chat")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def ask_httpx() -> object:
    httpx = load("httpx")

    with httpx.Client(verify=False) as client:
        return client.get(URL).text


def ask_httpx_async() -> object:
    httpx = load("httpx")

    async def get() -> object:
        async with httpx.AsyncClient(verify=False) as client:
            return (await client.get(URL)).text

    return asyncio.run(get())


def ask_transport(name: str) -> object:
    module = load(name)
    transport = module.MockTransport(lambda _: module.Response(200, text="mocked"))
    with module.Client(transport=transport) as client:
        return client.get(URL).text


def ask_aiohttp() -> object:
    aiohttp = load("aiohttp")

    async def get() -> object:
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            return await response.text()

    return asyncio.run(get())


@functools.cache
def s3() -> Any:
    boto3 = load("boto3")

    return boto3.client(
        "s3", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b", use_ssl=False
    )


def ask_s3() -> object:
    s3().put_object(Bucket="product-images", Key="one", Body=b"1")
    return "mocked"


def ask_s3_transfer() -> object:

    s3().upload_fileobj(io.BytesIO(b"1"), "product-images", "two")
    return "mocked"


def ask_redis() -> object:
    fakeredis = load("fakeredis")

    with fakeredis.FakeRedis() as client:
        client.set("key", "mocked")
    return "mocked"


def ask_redis_async() -> object:
    fakeredis = load("fakeredis")

    async def set_key() -> None:
        async with fakeredis.FakeAsyncRedis() as client:
            await client.set("key", "mocked")

    asyncio.run(set_key())
    return "mocked"


def ask_memcached() -> object:
    client = load("pymemcache.test.utils").MockMemcacheClient()
    client.set("key", b"mocked")
    return client.get("key").decode()


def notify() -> None:
    """A task."""


def ask_celery() -> object:
    celery = load("celery")

    app = celery.Celery(broker="memory://", backend="cache+memory://")
    app.task(name="app.tasks.notify")(notify).delay()
    return "mocked"


def ask_dramatiq() -> object:
    dramatiq = load("dramatiq")
    broker = load("dramatiq.brokers.stub").StubBroker()
    broker.emit_after("process_boot")
    actor = dramatiq.actor(notify, broker=broker)
    actor.send()
    broker.close()
    return "mocked"


def ask_rq() -> object:
    fakeredis = load("fakeredis")
    rq = load("rq")

    rq.Queue(connection=fakeredis.FakeRedis()).enqueue("app.tasks.notify")
    return "mocked"


# --- the mocks ----------------------------------------------------------------------------------


@contextmanager
def by_nothing() -> Iterator[None]:
    """The client is one that answers by itself."""
    yield


@contextmanager
def by_responses() -> Iterator[None]:
    responses = load("responses")

    with responses.RequestsMock() as mocked:
        mocked.get(URL, body="mocked")
        yield


@contextmanager
def by_requests_mock() -> Iterator[None]:
    requests_mock = load("requests_mock")

    with requests_mock.Mocker() as mocked:
        mocked.get(URL, text="mocked")
        yield


@contextmanager
def by_respx() -> Iterator[None]:
    respx = load("respx")

    with respx.mock:
        respx.get(URL).respond(text="mocked")
        yield


@contextmanager
def by_pytest_httpx() -> Iterator[None]:
    pytest = load("pytest")
    httpx_mock = load("pytest_httpx").httpx_mock

    # What pytest does with its fixture, for a test without markers.
    fixture = inspect.unwrap(getattr(httpx_mock, "_get_wrapped_function", lambda: httpx_mock)())
    with pytest.MonkeyPatch.context() as patch:
        mocking = fixture(patch, mock.MagicMock())
        next(mocking).add_response(url=URL, text="mocked")
        yield


@contextmanager
def by_aioresponses() -> Iterator[None]:
    import aiohttp

    class Response(aiohttp.ClientResponse):
        """With the argument that aiohttp 3.14 asks for and aioresponses 0.7 does not give."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, stream_writer=mock.Mock(), **kwargs)

    with load("aioresponses").aioresponses() as mocked:
        mocked.get(URL, body="mocked", response_class=Response)
        yield


@contextmanager
def by_vcr() -> Iterator[None]:
    vcr = load("vcr")

    request: dict[str, Any] = {"method": "GET", "uri": URL, "body": None, "headers": {}}
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"Content-Type": ["text/plain"]},
        "body": {"string": "mocked"},
    }
    tape = {"version": 1, "interactions": [{"request": request, "response": response}]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.json"
        path.write_text(json.dumps(tape), encoding="utf-8")
        with vcr.use_cassette(str(path), serializer="json", record_mode="none"):
            yield


@contextmanager
def by_httpretty() -> Iterator[None]:
    httpretty = load("httpretty")

    with httpretty.enabled(allow_net_connect=False):
        httpretty.register_uri(httpretty.GET, URL, body="mocked")
        yield


@contextmanager
def by_moto() -> Iterator[None]:
    moto = load("moto")

    with moto.mock_aws():
        s3().create_bucket(Bucket="product-images")
        yield


@contextmanager
def by_stubber() -> Iterator[None]:
    with load("botocore.stub").Stubber(s3()) as stubber:
        stubber.add_response("put_object", {})
        yield


@contextmanager
def by_patching_the_client() -> Iterator[None]:
    requests = load("requests")

    with mock.patch("requests.get") as get:
        get.return_value = requests.Response()
        get.return_value._content = b"mocked"
        yield


_HTTPX = {"httpx": ask_httpx, "httpx async": ask_httpx_async}
_STANDARD = {"urllib.request": ask_urllib, "http.client": ask_http_client}
_SYNC = {"requests": ask_requests, "urllib3": ask_urllib3, **_STANDARD}

MOCKS: dict[str, Mock] = {
    "responses": Mock(by_responses, {"requests": ask_requests}, ("responses",)),
    "requests-mock": Mock(by_requests_mock, {"requests": ask_requests}, ("requests_mock",)),
    "respx": Mock(by_respx, _HTTPX, ("respx",)),
    "pytest-httpx": Mock(by_pytest_httpx, _HTTPX, ("pytest_httpx",)),
    "MockTransport": Mock(
        by_nothing,
        {name: functools.partial(ask_transport, name) for name in ("httpx", "httpx2")},
        (),
    ),
    "aioresponses": Mock(by_aioresponses, {"aiohttp": ask_aiohttp}, ("aioresponses",)),
    "vcrpy": Mock(by_vcr, {**_SYNC, **_HTTPX, "aiohttp": ask_aiohttp}, ("vcr",)),
    # urllib3 2 asks its sockets for more than httpretty 1.1 has.
    "httpretty": Mock(by_httpretty, _STANDARD, ("httpretty",)),
    "moto": Mock(by_moto, {"botocore": ask_s3, "s3transfer": ask_s3_transfer}, ("moto",)),
    "botocore's Stubber": Mock(by_stubber, {"botocore": ask_s3}, ("botocore",)),
    "fakeredis": Mock(
        by_nothing,
        {"redis": ask_redis, "redis async": ask_redis_async, "rq": ask_rq},
        ("fakeredis",),
    ),
    "MockMemcacheClient": Mock(by_nothing, {"pymemcache": ask_memcached}, ()),
    "a memory broker": Mock(by_nothing, {"celery": ask_celery}, ()),
    "StubBroker": Mock(by_nothing, {"dramatiq": ask_dramatiq}, ()),
    'patch("requests.get")': Mock(by_patching_the_client, {"requests": ask_requests}, ()),
}
