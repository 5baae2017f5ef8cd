"""Object storage of Google and Azure, above their HTTP: method and bucket, or container.

Uploads and downloads are one call, in however many parts and threads they go; so is what a library
tries again. Objects' names, which the URLs are made of, are not told. S3 is in `aws`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from txprof.around import Wrapper
from txprof.sensors import aiohttp
from txprof.sensors.external import Describe, Described, watched, watched_coroutine
from txprof.sensors.external import in_process as part_of_a_call
from txprof.sensors.going_on import goes_on, goes_on_in_steps
from txprof.sensors.http import http_call
from txprof.sensors.placing import Client, Target


def _named(service: str, method: str, container: str, url: str, kind: str = "storage") -> Described:
    """gcs POST product-images, azure PUT product-images"""
    call = http_call(method, url)
    target = f"{service} {method.upper()} {container}".rstrip()
    return Described(kind, target, None if call is None else call.host)


# --- Google -------------------------------------------------------------------------------------

_GOOGLE = re.compile(r"/(?:(?:upload|download|batch|resumable/upload)/)?storage/v\d[^/]*(/.*|$)")
_BUCKET = re.compile(r"/b/([^/?]+)")


def _bucket(path: str) -> str:
    found = _BUCKET.match(path)
    return unquote(found[1]) if found else ""


def _google_request(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    # Of a session that signs in, for each of Google's services: a token that it asks for in between
    # is part of the call.
    method = args[0] if args else kwargs["method"]
    url = args[1] if len(args) > 1 else kwargs["url"]
    found = _GOOGLE.match(urlsplit(url).path)
    return None if found is None else _named("gcs", method, _bucket(found[1]), url)


def _google_api(connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    if hasattr(connection, "_requests"):
        return None  # a batch: nothing goes out until it is finished
    method = args[0] if args else kwargs["method"]
    path = args[1] if len(args) > 1 else kwargs.get("path", "")
    return _named("gcs", method, _bucket(path), connection.API_BASE_URL)


def _google_upload(blob: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    client = (args[0] if args else kwargs.get("client")) or blob.client
    return _named("gcs", "POST", blob.bucket.name, client._connection.API_BASE_URL)


def _google_download(blob: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    url = args[2] if len(args) > 2 else kwargs["download_url"]
    return _named("gcs", "GET", blob.bucket.name, url)


# --- Azure --------------------------------------------------------------------------------------

_AZURE_HOST = re.compile(r"\.(?:blob|dfs|file|queue)\.")


def _azure_service(pipeline: Any) -> str | None:
    """The package of `azure.storage` that a pipeline belongs to: some of its policies are of it."""
    for policy in pipeline._impl_policies:
        module = type(getattr(policy, "_policy", policy)).__module__
        if module.startswith("azure.storage."):
            return str(module.split(".")[2])
    return None


def _azure_run(pipeline: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    request = args[0] if args else kwargs["request"]
    service = _azure_service(pipeline)
    if service is None:
        return http_call(request.method, request.url)
    parts = urlsplit(request.url)
    names = [unquote(name) for name in parts.path.split("/")[1:]]
    if not _AZURE_HOST.search(parts.hostname or ""):
        del names[:1]  # an emulator, or a host of one's own, has the account first
    container = names[0] if names else ""
    kind = "queue" if service == "queue" else "storage"
    return _named("azure", request.method, container, request.url, kind)


def _azure_transfer(method: str) -> Describe:
    def describe(blob: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
        return _named("azure", method, blob.container_name, blob.primary_endpoint)

    return describe


def _azure_unread(downloader: Any) -> tuple[Any, ...]:
    return () if downloader._download_complete else (downloader,)


def _azure_chunks(chunks: Any) -> tuple[Any, ...]:
    return () if chunks._iter_downloader is None else (chunks,)


def _azure_body(response: Any) -> tuple[Any, ...]:
    raw = getattr(response.http_response.internal_response, "raw", None)  # of requests
    return () if raw is None or raw.closed else (raw,)


def _azure_body_async(response: Any) -> tuple[Any, ...]:
    internal = response.http_response.internal_response  # of aiohttp
    at_eof = getattr(getattr(internal, "content", None), "at_eof", None)
    return () if at_eof is None or at_eof() else aiohttp.body(internal)


def _azure(
    folder: str, suffix: str, watch: Callable[..., Wrapper], read: Wrapper
) -> tuple[Target, ...]:
    client = f"azure.storage.blob{folder}._blob_client{suffix}"
    download = f"azure.storage.blob{folder}._download{suffix}"
    step = "_AsyncChunkIterator.__anext__" if folder else "_ChunkIterator.__next__"
    return (
        Target(client, "BlobClient.upload_blob", watch(_azure_transfer("PUT"))),
        Target(client, "BlobClient.download_blob", watch(_azure_transfer("GET"), _azure_unread)),
        *(
            Target(download, f"StorageStreamDownloader.{method}", read)
            for method in ("readall", "readinto", "read")
        ),
        Target(download, "StorageStreamDownloader.chunks", goes_on(_azure_chunks)),
        Target(download, step, read),
    )


_IN_THREADS = (
    ("azure.storage.blob._shared.uploads", "_ChunkUploader.process_chunk"),
    ("azure.storage.blob._shared.uploads", "_ChunkUploader.process_substream_block"),
    ("azure.storage.blob._download", "_ChunkDownloader.process_chunk"),
)

CLIENTS = (
    Client(
        "google-cloud-storage",
        "storage",
        "gcs POST product-images",
        (
            Target("google.cloud.storage._http", "Connection.api_request", watched(_google_api)),
            Target("google.cloud.storage.blob", "Blob._do_upload", watched(_google_upload)),
            Target("google.cloud.storage.blob", "Blob._do_download", watched(_google_download)),
            # In threads of its own, for the attributes of its traces: nobody asked, nobody waits.
            *(
                Target(
                    "google.cloud.storage._bucket_metadata_cache",
                    f"BucketMetadataCache.{method}",
                    part_of_a_call,
                    optional=True,
                )
                for method in ("_fetch_background", "_verify_existence_background")
            ),
        ),
    ),
    Client(
        "google-auth",
        "storage",
        "gcs POST product-images",
        (
            Target(
                "google.auth.transport.requests",
                "AuthorizedSession.request",
                watched(_google_request),
            ),
        ),
    ),
    Client(
        "azure-storage-blob",
        "storage",
        "azure PUT product-images",
        (
            *_azure("", "", watched, goes_on()),
            *(Target(module, attribute, part_of_a_call) for module, attribute in _IN_THREADS),
            *_azure(".aio", "_async", watched_coroutine, goes_on_in_steps),
        ),
    ),
    Client(
        "azure-core",
        "http, storage, queue",
        "azure PUT product-images",
        (
            Target("azure.core.pipeline._base", "Pipeline.run", watched(_azure_run, _azure_body)),
            Target(
                "azure.core.pipeline._base_async",
                "AsyncPipeline.run",
                watched_coroutine(_azure_run, _azure_body_async),
            ),
        ),
    ),
)
