"""Sensors go in when a library is imported, once, and come out without a trace."""

from __future__ import annotations

import copy
import functools
import inspect
import json
import pickle
import smtplib
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp.test_utils
import aiosmtplib
import anthropic
import azure.storage.blob.aio
import boto3
import google.cloud.storage
import grpc.aio
import httpx
import httpx2
import openai
import pymemcache
import pytest
import queue_clients
import redis.asyncio.cluster
import redis.cluster
import requests
import requests_mock
import s3transfer.manager
import websocket
import websockets.asyncio.client
import websockets.sync.client
import wrapt
from helpers import ApiServer, calls_seen
from servers import installed_targets

import txprof
from txprof.sensors.placing import Target

TARGETS = installed_targets()
IMPORTED = (
    aiohttp.test_utils,
    aiosmtplib,
    anthropic,
    azure.storage.blob.aio,
    boto3,
    google.cloud.storage,
    grpc.aio,
    httpx,
    httpx2,
    openai,
    pymemcache,
    queue_clients,
    redis.asyncio.cluster,
    redis.cluster,
    requests,
    requests_mock,
    s3transfer.manager,
    smtplib,
    websocket,
    websockets.asyncio.client,
    websockets.sync.client,
)


def placed_at(target: Target) -> tuple[Any, str]:
    owner: Any = sys.modules[target.module]
    *parents, name = target.attribute.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name


def found_at(target: Target) -> Any:
    """What is in the place of a target; not as its class would give it."""
    owner, name = placed_at(target)
    return vars(owner).get(name)


@pytest.fixture(autouse=True)
def taken_out() -> Iterator[None]:
    """Each test begins and ends with no sensor in."""
    txprof.uninstall()
    yield
    txprof.uninstall()


def install() -> None:
    with txprof.profile():
        pass


# --- in and out ---------------------------------------------------------------------------------


def found() -> dict[str, Any]:
    """What is in the place of each target."""
    return {f"{target.module}:{target.attribute}": found_at(target) for target in TARGETS}


def test_uninstalling_gives_back_the_very_originals() -> None:
    originals = found()
    for _ in range(2):
        install()
        assert [name for name, wrapped in found().items() if wrapped is originals[name]] == []
        txprof.uninstall()
        assert [name for name, there in found().items() if there is not originals[name]] == []


def test_uninstalling_twice_is_uninstalling_once() -> None:
    original = vars(requests.Session)["send"]
    install()
    txprof.uninstall()
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_a_second_profile_wraps_nothing_again() -> None:
    install()
    wrapped = found()
    install()
    assert [name for name, there in found().items() if there is not wrapped[name]] == []


def test_watching_what_a_sensor_wraps_wraps_it_once(api: ApiServer) -> None:
    original = vars(requests.Session)["send"]
    with txprof.watch("requests.sessions:Session.send", kind="rpc"), txprof.profile() as prof:
        requests.get(api.url(), timeout=5)
    assert [count for _, _, count in calls_seen(prof)] == [1]
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_a_method_that_was_inherited_is_inherited_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Child(requests.Session):
        pass

    monkeypatch.setattr(requests.sessions, "Session", Child)
    monkeypatch.setattr(requests.sessions, "Parent", requests.Session, raising=False)
    install()
    assert "send" in vars(Child)
    txprof.uninstall()
    assert "send" not in vars(Child)


# --- wraps of others ----------------------------------------------------------------------------


class Apm:
    """Another tool that wraps `Session.send`, with or without saying what it wraps."""

    def __init__(self, patch: pytest.MonkeyPatch, *, says_so: bool) -> None:
        self.seen: list[str] = []
        self._patch = patch
        self._says_so = says_so

    def wrap(self) -> None:
        beneath = requests.Session.send

        def send(session: Any, request: Any, **options: Any) -> Any:
            self.seen.append(request.method)
            return beneath(session, request, **options)

        if self._says_so:
            functools.update_wrapper(send, beneath)
        self._patch.setattr(requests.Session, "send", send)

    def unwrap(self) -> None:
        self._patch.undo()


@pytest.fixture(params=[True, False], ids=["says so", "says nothing"])
def apm(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Apm:
    return Apm(monkeypatch, says_so=request.param)


def assert_seen_once(api: ApiServer, apm: Apm, *, by_apm: int) -> None:
    apm.seen.clear()
    with txprof.profile() as prof:
        assert requests.get(api.url("/redirect"), timeout=5).text == "ok"
    assert calls_seen(prof) == [("http", f"GET {api.url('/redirect')}", 1)]
    assert apm.seen == ["GET"] * by_apm


def test_a_wrap_that_says_it_wraps_ours_is_not_wrapped_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install()
    Apm(monkeypatch, says_so=True).wrap()
    theirs = vars(requests.Session)["send"]
    install()
    assert vars(requests.Session)["send"] is theirs


def test_wrapping_over_ours_and_taking_it_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    install()
    apm.wrap()
    assert_seen_once(api, apm, by_apm=2)  # once for each hop
    apm.unwrap()
    assert_seen_once(api, apm, by_apm=0)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_uninstalling_again_takes_out_what_the_wrap_of_another_kept_in(apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    install()
    apm.wrap()
    txprof.uninstall()
    apm.unwrap()
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_wrapping_over_ours_and_taking_ours_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    install()
    apm.wrap()
    txprof.uninstall()
    assert requests.get(api.url(), timeout=5).text == "ok"
    assert apm.seen == ["GET"]
    assert_seen_once(api, apm, by_apm=2)
    apm.unwrap()
    assert_seen_once(api, apm, by_apm=0)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_ours_over_another_wrap_and_taking_ours_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    apm.wrap()
    theirs = vars(requests.Session)["send"]
    assert_seen_once(api, apm, by_apm=2)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is theirs
    apm.unwrap()
    assert vars(requests.Session)["send"] is original


def test_ours_over_another_wrap_and_taking_that_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    apm.wrap()
    install()
    apm.unwrap()
    assert_seen_once(api, apm, by_apm=0)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


@pytest.fixture
def by_wrapt() -> Iterator[list[str]]:
    """What a tool that wraps `Session.send` by wrapt, as we do, saw; it has come before us."""
    seen: list[str] = []

    def see(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(args[0].method)
        return wrapped(*args, **kwargs)

    original = vars(requests.Session)["send"]
    wrapt.wrap_function_wrapper(requests.Session, "send", see)
    yield seen
    requests.Session.send = original  # type: ignore[method-assign]


def unwrap_by_wrapt() -> None:
    """As such tools do: whatever is on top is taken for theirs."""
    requests.Session.send = requests.Session.send.__wrapped__  # type: ignore


def test_a_tool_that_unwraps_by_wrapt_takes_off_its_own_and_leaves_ours(
    api: ApiServer, by_wrapt: list[str]
) -> None:
    with txprof.profile() as prof:
        requests.get(api.url("/both"), timeout=5)
        unwrap_by_wrapt()
        requests.get(api.url("/ours"), timeout=5)
    assert by_wrapt == ["GET"]
    assert calls_seen(prof) == [
        ("http", f"GET {api.url('/both')}", 1),
        ("http", f"GET {api.url('/ours')}", 1),
    ]


def test_ours_comes_off_from_beneath_a_wrap_by_wrapt(api: ApiServer, by_wrapt: list[str]) -> None:
    theirs = vars(requests.Session)["send"]
    original = theirs.__wrapped__
    install()
    assert vars(requests.Session)["send"] is theirs
    assert theirs.__wrapped__ is not original
    txprof.uninstall()
    assert vars(requests.Session)["send"] is theirs
    assert theirs.__wrapped__ is original
    assert requests.get(api.url(), timeout=5).text == "ok"
    assert by_wrapt == ["GET"]


def test_ours_comes_off_from_beneath_one_that_came_later(api: ApiServer) -> None:
    original = vars(requests.Session)["send"]
    install()
    theirs = wrapt.FunctionWrapper(vars(requests.Session)["send"], lambda w, _i, a, k: w(*a, **k))
    requests.Session.send = theirs  # type: ignore[method-assign]
    txprof.uninstall()
    assert vars(requests.Session)["send"] is theirs
    assert theirs.__wrapped__ is original
    requests.Session.send = original  # type: ignore[method-assign]


def test_what_is_watched_is_watched_with_its_own_decorators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import watched

    @wrapt.decorator
    def twice(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        wrapped(*args, **kwargs)
        return wrapped(*args, **kwargs)

    monkeypatch.setattr(watched, "charge", twice(watched.charge))
    with txprof.watch("watched:charge", kind="rpc"), txprof.profile() as prof:
        assert watched.charge(1) == 2
    assert calls_seen(prof) == [("rpc", "watched.charge", 1)]


# --- what a wrapped function is -----------------------------------------------------------------


def test_a_wrapped_method_looks_like_the_method() -> None:
    def looks() -> list[Any]:
        send, asend = requests.Session.send, httpx.AsyncClient.send
        return [
            inspect.signature(send),
            inspect.isfunction(send),
            inspect.ismethod(requests.Session().send),
            inspect.iscoroutinefunction(asend),
            (send.__name__, send.__qualname__, send.__module__, send.__doc__),
            inspect.getsource(send),
        ]

    without = looks()
    install()
    assert vars(requests.Session)["send"] is not vars(requests.Session)["send"].__wrapped__
    assert looks() == without


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_a_wrapped_method_copies_and_pickles(copied: Callable[[Any], Any]) -> None:
    install()
    assert copied(requests.Session.send) == requests.Session.send
    session = requests.Session()
    session.headers["X-Name"] = "a"
    assert copied(session.send).__self__.headers["X-Name"] == "a"
    assert copied(vars(requests.Session)["send"]) == requests.Session.send


def test_a_coroutine_of_a_call_nobody_watches_is_the_librarys_own() -> None:
    client = httpx.AsyncClient(verify=False)
    install()
    coroutine = client.send(client.build_request("GET", "http://127.0.0.1:1/"))
    coroutine.close()
    assert coroutine.cr_code is httpx.AsyncClient.send.__code__


# --- when a library is imported -----------------------------------------------------------------


def run(code: str, *folders: Path) -> Any:
    """What a program of its own prints, as JSON."""
    prologue = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]}\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prologue + textwrap.dedent(code)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CALLS = {
    "requests": 'requests.get("http://127.0.0.1:1/ok")',
    "httpx": 'httpx.get("http://127.0.0.1:1/ok", verify=False)',
    "httpx2": 'httpx2.get("http://127.0.0.1:1/ok", verify=False)',
    "urllib3": 'urllib3.request("GET", "http://127.0.0.1:1/ok")',
    "urllib.request": 'urllib.request.urlopen("http://127.0.0.1:1/ok")',
    "http.client": 'http.client.HTTPConnection("127.0.0.1", 1).request("GET", "/ok")',
    "aiohttp": """async def ask():
                    async with aiohttp.request("GET", "http://127.0.0.1:1/ok"):
                        pass
                asyncio.run(ask())""",
    "boto3": """boto3.client(
                    "s3", "us-east-1", endpoint_url="http://127.0.0.1:1",
                    aws_access_key_id="a", aws_secret_access_key="b",
                    config=botocore.config.Config(retries={"total_max_attempts": 1}),
                ).list_objects_v2(Bucket="images")""",
    "celery": """celery.Celery(broker="memory://").send_task("app.tasks.notify")""",
}
SHOWN = {"boto3": "s3.ListObjectsV2 images", "celery": "celery app.tasks.notify"}


@pytest.mark.parametrize("when", ["before txprof", "after txprof", "under a profile"])
@pytest.mark.parametrize("library", CALLS)
def test_a_library_is_watched_whenever_it_is_imported(library: str, when: str) -> None:
    more = {"aiohttp": "; import asyncio", "boto3": "; import botocore.config"}
    imports = f"import {library}" + more.get(library, "")
    nothing = "pass"
    seen = run(f"""
        import contextlib, json
        {imports if when == "before txprof" else nothing}
        import txprof
        with txprof.profile():
            pass
        {imports if when == "after txprof" else nothing}
        with txprof.profile() as prof:
            {imports if when == "under a profile" else nothing}
            with contextlib.suppress(Exception):
                {CALLS[library]}
        print(json.dumps([[row.target, row.count] for row in prof.recorded.external_calls]))
    """)
    assert seen == [[SHOWN.get(library, "GET http://127.0.0.1:1/ok"), 1]]


def test_nothing_is_imported_for_the_user() -> None:
    imported = run("""
        import json, txprof
        with txprof.profile():
            pass
        txprof.uninstall()
        print(json.dumps(sorted(sys.modules)))
    """)
    libraries = {target.module.partition(".")[0] for target in TARGETS} - sys.stdlib_module_names
    assert {
        "redis",
        "requests",
        "httpx",
        "httpx2",
        "urllib3",
        "botocore",
        "s3transfer",
    } <= libraries
    assert libraries & {module.partition(".")[0] for module in imported} == set()
    assert {"http.client", "smtplib", "urllib.request"} & set(imported) == set()


def test_a_module_that_starts_a_profile_while_it_is_imported_is_watched_by_the_next(
    tmp_path: Path,
) -> None:
    (tmp_path / "httpx.py").write_text(
        "import application\n\nclass Client:\n    def send(self, request): return 'sent'\n"
    )
    (tmp_path / "application.py").write_text("import txprof\nwith txprof.profile(): pass\n")
    seen = run(
        """
        import json, types, httpx, txprof
        request = types.SimpleNamespace(method="GET", url="http://127.0.0.1:1/ok")
        with txprof.profile() as prof:
            assert httpx.Client().send(request) == "sent"
        print(json.dumps([[row.target, row.count] for row in prof.recorded.external_calls]))
        """,
        tmp_path,
    )
    assert seen == [["GET http://127.0.0.1:1/ok", 1]]


def test_a_library_that_changed_is_noted_when_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("class Client: pass\n")
    noted = run(
        """
        import json, logging, txprof
        messages = []
        class Keep(logging.Handler):
            def emit(self, record): messages.append([record.levelname, record.getMessage()[:41]])
        logging.getLogger("txprof").addHandler(Keep())
        logging.getLogger("txprof").setLevel(logging.DEBUG)
        with txprof.profile():
            import httpx
        print(json.dumps(messages))
        """,
        tmp_path,
    )
    assert ["DEBUG", "txprof: the sensor httpx:Client.send gave"] in noted


def test_an_alias_of_httpx_does_not_count_twice() -> None:
    seen = run(f"""
        import contextlib, json, httpx2, txprof
        httpx2.alias_httpx()
        import httpx
        assert httpx is httpx2
        with txprof.profile() as prof, contextlib.suppress(Exception):
            {CALLS["httpx"]}
        original = vars(httpx.Client)["send"].__wrapped__
        txprof.uninstall()
        assert vars(httpx.Client)["send"] is original
        print(json.dumps([[row.target, row.count] for row in prof.recorded.external_calls]))
    """)
    assert seen == [["GET http://127.0.0.1:1/ok", 1]]


def test_clients_of_many_modules_are_watched_when_they_are_imported_under_a_profile() -> None:
    # One process for all of them: half of its time goes into the imports.
    seen = run("""
        import contextlib, json, warnings, txprof
        with txprof.profile(on_finding="ignore") as prof, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of when they are imported
            import azure.storage.blob, google.cloud.storage, grpc, openai, websocket
            import google.auth.credentials, websockets.sync.client
            at = "http://127.0.0.1:1"
            with contextlib.suppress(Exception):
                azure.storage.blob.BlobClient(at + "/shop", "images", "a", retry_total=0).exists()
            client = google.cloud.storage.Client(
                "shop", google.auth.credentials.AnonymousCredentials(),
                client_options={"api_endpoint": at},
            )
            with contextlib.suppress(Exception):
                client.get_bucket("images", retry=None)
            with grpc.insecure_channel("127.0.0.1:1") as channel:
                with contextlib.suppress(grpc.RpcError):
                    channel.unary_unary("/shop.Prices/Echo")(b"")
            with contextlib.suppress(openai.APIConnectionError):
                openai.OpenAI(api_key="k", base_url=at, max_retries=0).models.list()
            for connect in websocket.create_connection, websockets.sync.client.connect:
                with contextlib.suppress(OSError):
                    connect("ws://127.0.0.1:1/feed")
        calls = [[row.target, row.count] for row in prof.recorded.external_calls]
        print(json.dumps(sorted(calls)))
    """)
    assert seen == [
        ["GET http://127.0.0.1:1/models", 1],
        ["azure HEAD images", 1],
        ["connect ws://127.0.0.1:1/feed", 2],
        ["gcs GET images", 1],
        ["grpc /shop.Prices/Echo", 1],
    ]
