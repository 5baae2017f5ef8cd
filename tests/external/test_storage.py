"""Object storage of Google and Azure: names, hosts, what is read later, what is not told."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core import PipelineClient
from azure.core.pipeline.policies import RetryPolicy
from azure.core.rest import HttpRequest
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from http_clients import everything_said, transaction
from loopback import Server
from sqlalchemy import Engine
from storage_clients import azure_async_client, azure_client, google_client
from storage_server import OBJECT

import txprof
from txprof.sensors import storage as sensor

Store = Callable[[str], Any]


def google_upload(url: str) -> Any:
    with google_client(url) as client:
        client.bucket("images").blob("in-key").upload_from_string(b"in-body")


def azure_upload(url: str) -> Any:
    with azure_client(url) as client:
        client.get_blob_client("images", "in-key").upload_blob(b"in-body, of two parts")


UPLOADS: dict[str, tuple[str, Store]] = {
    "google": ("gcs POST images", google_upload),
    "azure": ("azure PUT images", azure_upload),
}


@pytest.fixture(params=UPLOADS)
def upload(request: pytest.FixtureRequest) -> tuple[str, Store]:
    """How an upload is shown, and one."""
    return UPLOADS[request.param]


def test_an_upload_is_storage_of_a_bucket(
    engine: Engine, storage: Server, upload: tuple[str, Store]
) -> None:
    target, store = upload
    with txprof.profile() as prof, transaction(engine):
        store(storage.url)  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "storage"
    assert finding.details["target"] == target


def test_an_upload_that_raises_sends_nothing(
    engine: Engine, storage: Server, upload: tuple[str, Store]
) -> None:
    before = len(storage.asked)
    with (
        txprof.profile(on_finding="raise"),
        transaction(engine),
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError),
    ):
        upload[1](storage.url)
    assert storage.asked[before:] == []


def test_an_allowed_host_is_that_of_the_endpoint(
    engine: Engine, storage: Server, upload: tuple[str, Store]
) -> None:
    host = storage.url.removeprefix("http://")
    with txprof.profile(allow_hosts=[host]) as prof, transaction(engine):
        upload[1](storage.url)
    assert_clean(prof)
    assert calls_seen(prof) == [("storage", upload[0], 1)]


def test_neither_name_nor_body_nor_key_is_shown(
    engine: Engine, storage: Server, upload: tuple[str, Store], tmp_path: Path
) -> None:
    with txprof.profile() as prof, transaction(engine):
        upload[1](storage.url)
    said = everything_said(prof, tmp_path)
    assert upload[0] in said
    assert not [secret for secret in ("in-key", "in-body", "aW4tc2VjcmV0") if secret in said]


# --- in parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_an_upload_in_parts_is_one_call_in_however_many_threads(
    engine: Engine, storage: Server, threads: int
) -> None:
    before = len(storage.asked)
    with azure_client(storage.url) as client, txprof.profile() as prof, transaction(engine):
        blob = client.get_blob_client("images", "new")
        blob.upload_blob(OBJECT, overwrite=True, max_concurrency=threads)  # call
    assert len(storage.asked[before:]) == 3  # two blocks and their list
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("storage", "azure PUT images", 1)]


def test_what_is_written_to_an_open_object_goes_out_in_calls_of_its_own(
    storage: Server,
) -> None:
    with google_client(storage.url) as client, txprof.profile() as prof:
        blob = client.bucket("images").blob("new", chunk_size=256 * 1024)
        with blob.open("wb", checksum=None) as file:
            file.write(b"x" * 600 * 1024)
    assert ("storage", "gcs POST images", 1) in calls_seen(prof)
    assert {(kind, target) for kind, target, _ in calls_seen(prof)} == {
        ("storage", "gcs POST images"),
        ("storage", "gcs PUT images"),
    }


# --- read later ---------------------------------------------------------------------------------

READS: dict[str, Callable[[Any], bytes]] = {
    "readall": lambda download: bytes(download.readall()),
    "readinto": lambda download: into(download),
    "read": lambda download: bytes(download.read()),
    "chunks": lambda download: b"".join(download.chunks()),
}


def into(download: Any) -> bytes:
    target = io.BytesIO()
    download.readinto(target)
    return target.getvalue()


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_download_read_in_a_later_transaction_is_a_finding_at_the_reading_line(
    engine: Engine, storage: Server, read: str, threads: int
) -> None:
    with azure_client(storage.url) as client, txprof.profile() as prof:
        blob = client.get_blob_client("images", "old")
        download = blob.download_blob(max_concurrency=threads)
        with transaction(engine):
            assert READS[read](download) == OBJECT  # read
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("storage", "azure GET images", 1)]


def test_a_download_that_is_there_already_is_no_call_in_a_later_transaction(
    engine: Engine, storage: Server
) -> None:
    with azure_client(storage.url, max_single_get_size=100) as client, txprof.profile() as prof:
        download = client.get_blob_client("images", "old").download_blob()
        with transaction(engine):
            assert download.readall() == OBJECT
    assert_clean(prof)
    assert calls_seen(prof) == [("storage", "azure GET images", 1)]


@pytest.mark.parametrize("way", ["readall", "chunks"])
def test_a_download_awaited_in_a_later_transaction_is_a_finding_at_the_reading_line(
    engine: Engine, storage: Server, way: str
) -> None:
    async def work() -> None:
        async with azure_async_client(storage.url) as client:
            download = await client.get_blob_client("images", "old").download_blob()
            with transaction(engine):
                if way == "readall":
                    assert await download.readall() == OBJECT
                else:
                    assert b"".join([part async for part in download.chunks()]) == OBJECT

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", count=1)
    assert calls_seen(prof) == [("storage", "azure GET images", 1)]


# --- what else goes through the same layers -----------------------------------------------------


def test_a_request_of_another_service_of_azure_is_one_http_call_with_its_attempts(
    engine: Engine, api: ApiServer
) -> None:
    before = len(api.requests)
    attempts = RetryPolicy(retry_total=2, retry_backoff_factor=0)
    with (
        PipelineClient(api.url(""), policies=[attempts]) as client,
        txprof.profile() as prof,
        transaction(engine),
    ):
        answer = client.send_request(HttpRequest("GET", api.url("/status/503")))  # call
    assert answer.status_code == 503
    assert api.requests[before:] == ["GET /status/503"] * 3
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url('/status/503')}", 1)]


def test_a_streamed_answer_of_azure_counts_where_it_is_read(engine: Engine, api: ApiServer) -> None:
    with PipelineClient(api.url(""), policies=[]) as client, txprof.profile() as prof:
        answer = client.send_request(HttpRequest("GET", api.url("/stream")), stream=True)
        with transaction(engine):
            assert answer.read() == b"one two three"  # read
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("http", f"GET {api.url('/stream')}", 1)]


class _Pipeline:
    """One that belongs to a service of Azure's storage."""

    def __init__(self, service: str) -> None:
        policy = type("Policy", (), {"__module__": f"azure.storage.{service}._shared.policies"})
        self._impl_policies = [policy()]


@pytest.mark.parametrize(
    ("service", "url", "seen"),
    [
        ("blob", "https://shop.blob.core.windows.net/images/a/b?sig=1", ("storage", "images")),
        ("blob", "https://shop.blob.core.windows.net/?comp=list", ("storage", "")),
        ("blob", "http://azurite:10000/shop/images/a", ("storage", "images")),
        ("filedatalake", "https://shop.dfs.core.windows.net/lake/a", ("storage", "lake")),
        ("queue", "https://shop.queue.core.windows.net/jobs/messages", ("queue", "jobs")),
    ],
)
def test_the_container_is_read_from_the_url(service: str, url: str, seen: tuple[str, str]) -> None:
    call = sensor._azure_run(_Pipeline(service), (HttpRequest("POST", url),), {})
    assert call is not None
    assert (call.kind, call.target) == (seen[0], f"azure POST {seen[1]}".rstrip())


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/storage/v1/b/images/o/in%2Fkey", "gcs PUT images"),
        ("/upload/storage/v1/b/images/o", "gcs PUT images"),
        ("/resumable/upload/storage/v1/b/images/o", "gcs PUT images"),
        ("/download/storage/v1/b/images/o/key", "gcs PUT images"),
        ("/storage/v1/b", "gcs PUT"),
        ("/batch/storage/v1", "gcs PUT"),
        ("/bigquery/v2/projects", None),
    ],
)
def test_the_bucket_is_read_from_the_url(path: str, seen: str | None) -> None:
    call = sensor._google_request(None, ("PUT", f"https://storage.googleapis.com{path}?a=b"), {})
    assert (call and call.target) == seen
