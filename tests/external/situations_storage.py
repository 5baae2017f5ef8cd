"""What programs do with the object storages of Google and of Azure."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import azure.core.exceptions
import google.api_core.exceptions
import requests
from expecting import Call, raising, returning
from situations import Situation
from storage_clients import AT_ONCE, azure_async_client, azure_client, google_client
from storage_server import OBJECT

_NOWHERE = "http://127.0.0.1:1"
_LARGE = b"x" * (600 * 1024)
_PART = 256 * 1024  # the least that Google allows


def _google(ask: Callable[[Any], Any], url: str = "") -> Call:
    def call(server: Any) -> Any:
        with google_client(url or server.url) as client:
            return ask(client)

    return call


def _upload(client: Any) -> Any:
    blob = client.bucket("images").blob("new")
    blob.upload_from_string(b"in-body")
    return blob.generation


def _upload_in_parts(client: Any) -> Any:
    blob = client.bucket("images").blob("new", chunk_size=_PART)
    blob.upload_from_file(io.BytesIO(_LARGE), checksum=None)
    return blob.generation


def _delete_in_a_batch(client: Any) -> Any:
    with client.batch():
        for name in ("a", "b"):
            client.bucket("images").delete_blob(name)
    return "deleted"


_GOOGLE: tuple[tuple[str, Call, list[str]], ...] = (
    ("upload", returning(1, _google(_upload)), ["POST images"]),
    ("upload in parts", returning(1, _google(_upload_in_parts)), ["POST images"]),
    (
        "download",
        returning(OBJECT, _google(lambda c: c.bucket("images").blob("old").download_as_bytes())),
        ["GET images"],
    ),
    (
        "open to read",
        returning(OBJECT[:5], _google(lambda c: c.bucket("images").blob("old").open("rb").read(5))),
        ["GET images"],
    ),
    (
        "list",
        returning(["new"], _google(lambda c: [blob.name for blob in c.list_blobs("images")])),
        ["GET images"],
    ),
    ("batch", returning("deleted", _google(_delete_in_a_batch)), ["POST"]),
    (
        "a busy server",
        returning(
            "images",
            _google(lambda c: c.get_bucket("busy", retry=AT_ONCE)._properties["bucket"]),
        ),
        ["GET busy"],
    ),
    (
        "error status",
        raising(google.api_core.exceptions.NotFound, _google(lambda c: c.get_bucket("none"))),
        ["GET none"],
    ),
    (
        "error status of an upload",
        raising(
            google.api_core.exceptions.NotFound,
            _google(lambda c: c.bucket("none").blob("a").upload_from_string(b"a")),
        ),
        ["POST none"],
    ),
    (
        "refused",
        raising(
            requests.ConnectionError, _google(lambda c: c.get_bucket("a", retry=None), _NOWHERE)
        ),
        ["GET a"],
    ),
    (
        "timeout",
        raising(
            requests.Timeout,
            _google(lambda c: c.get_bucket("stalled", retry=None, timeout=0.2)),
        ),
        ["GET stalled"],
    ),
)


def _azure(ask: Callable[[Any], Any], url: str = "", **options: Any) -> Call:
    def call(server: Any) -> Any:
        with azure_client(url or server.url, **options) as client:
            return ask(client)

    return call


def _azure_async(ask: Callable[[Any], Awaitable[Any]], url: str = "", **options: Any) -> Call:
    async def run(server: Any) -> Any:
        async with azure_async_client(url or server.url, **options) as client:
            return await ask(client)

    return lambda server: asyncio.run(run(server))


def _put(client: Any, **options: Any) -> Any:
    return client.get_blob_client("images", "new").upload_blob(OBJECT, overwrite=True, **options)


def _put_small(client: Any) -> Any:
    return client.get_blob_client("images", "new").upload_blob(b"in-body", overwrite=True)["etag"]


def _names(client: Any) -> Any:
    return [blob.name for blob in client.get_container_client("images").list_blobs()]


async def _put_async(client: Any) -> Any:
    return (await _put(client, max_concurrency=2))["etag"]


async def _got_async(client: Any) -> Any:
    download = await client.get_blob_client("images", "old").download_blob(max_concurrency=2)
    return await download.readall()


async def _chunks_async(client: Any) -> Any:
    download = await client.get_blob_client("images", "old").download_blob()
    return b"".join([chunk async for chunk in download.chunks()])


async def _names_async(client: Any) -> Any:
    listed = client.get_container_client("images").list_blobs()
    return [blob.name async for blob in listed]


def _got(client: Any, container: str = "images", **options: Any) -> Any:
    return client.get_blob_client(container, "old").download_blob(**options).readall()


def _chunks(client: Any) -> Any:
    return b"".join(client.get_blob_client("images", "old").download_blob().chunks())


def _exists(container: str) -> Callable[[Any], Any]:
    return lambda client: client.get_blob_client(container, "old").exists()


def _deleted(container: str) -> Callable[[Any], Any]:
    return lambda client: client.get_blob_client(container, "old").delete_blob()


_Missing = azure.core.exceptions.ResourceNotFoundError
_Refused = azure.core.exceptions.ServiceRequestError
_Late = azure.core.exceptions.ServiceResponseError

_AZURE: tuple[tuple[str, Call, list[str]], ...] = (
    ("upload", returning('"1"', _azure(_put_small)), ["PUT images"]),
    ("upload in parts", returning('"1"', _azure(lambda c: _put(c)["etag"])), ["PUT images"]),
    (
        "upload in threads",
        returning('"1"', _azure(lambda c: _put(c, max_concurrency=2)["etag"])),
        ["PUT images"],
    ),
    ("download", returning(OBJECT, _azure(_got)), ["GET images"]),
    (
        "download in threads",
        returning(OBJECT, _azure(lambda c: _got(c, max_concurrency=2))),
        ["GET images"],
    ),
    ("download chunk by chunk", returning(OBJECT, _azure(_chunks)), ["GET images"]),
    ("list", returning(["old"], _azure(_names)), ["GET images"]),
    ("a busy server", returning(True, _azure(_exists("busy"))), ["HEAD busy"]),
    ("delete", returning(None, _azure(_deleted("images"))), ["DELETE images"]),
    ("error status", raising(_Missing, _azure(_deleted("none"))), ["DELETE none"]),
    (
        "error status of a download",
        raising(_Missing, _azure(lambda c: _got(c, "none"))),
        ["GET none"],
    ),
    ("refused", raising(_Refused, _azure(_deleted("a"), _NOWHERE)), ["DELETE a"]),
    (
        "timeout",
        raising(_Late, _azure(_deleted("stalled"), read_timeout=0.2, attempts=1)),
        ["DELETE stalled"],
    ),
    ("async upload in parts", returning('"1"', _azure_async(_put_async)), ["PUT images"]),
    ("async download", returning(OBJECT, _azure_async(_got_async)), ["GET images"]),
    ("async download by chunks", returning(OBJECT, _azure_async(_chunks_async)), ["GET images"]),
    ("async list", returning(["old"], _azure_async(_names_async)), ["GET images"]),
    ("async a busy server", returning(True, _azure_async(_exists("busy"))), ["HEAD busy"]),
    ("async error status", raising(_Missing, _azure_async(_deleted("none"))), ["DELETE none"]),
    ("async refused", raising(_Refused, _azure_async(_deleted("a"), _NOWHERE)), ["DELETE a"]),
)

SITUATIONS = [
    Situation(
        client,
        name,
        "storage",
        call,
        lambda _, prefix=prefix, targets=targets: [
            ("storage", f"{prefix} {target}") for target in targets
        ],
    )
    for client, prefix, rows in (
        ("google-cloud-storage", "gcs", _GOOGLE),
        ("azure-storage-blob", "azure", _AZURE),
    )
    for name, call, targets in rows
]
