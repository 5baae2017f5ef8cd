"""A library is watched whenever it is imported, and imported for nobody: programs of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from targets import installed_targets


def printed_by(code: str, *folders: Path) -> Any:
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
    seen = printed_by(f"""
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
    imported = printed_by("""
        import json, txprof
        with txprof.profile():
            pass
        txprof.uninstall()
        print(json.dumps(sorted(sys.modules)))
    """)
    libraries = {
        target.module.partition(".")[0] for target in installed_targets()
    } - sys.stdlib_module_names
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
    seen = printed_by(
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
    noted = printed_by(
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
    seen = printed_by(f"""
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
    seen = printed_by("""
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
