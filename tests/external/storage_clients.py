"""Clients of the object storages of Google and of Azure, for the server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import azure.storage.blob
import azure.storage.blob.aio
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

AT_ONCE = DEFAULT_RETRY.with_delay(initial=0.001, maximum=0.001)
"""Google's policy, without the pauses."""

assert isinstance(AT_ONCE, Retry)


@contextmanager
def google_client(url: str) -> Iterator[Any]:
    """A client that does not sign in."""
    client = storage.Client(
        project="shop",
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=url),
    )
    # A thread of the client's own asks for a bucket's metadata, whenever it gets to it.
    with mock.patch.dict("os.environ", {"DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "1"}):
        try:
            yield client
        finally:
            client._http.close()


def _azure_options(module: Any, attempts: int, more: dict[str, Any]) -> dict[str, Any]:
    """Parts of 12 bytes; so many attempts, without pauses."""
    return {
        "retry_policy": module.LinearRetry(
            backoff=0, retry_total=attempts - 1, random_jitter_range=0
        ),
        "max_single_put_size": 12,
        "max_block_size": 12,
        "max_single_get_size": 12,
        "max_chunk_get_size": 12,
        **more,
    }


def _azure_connection(url: str) -> str:
    key = "aW4tc2VjcmV0LWtleQ=="
    return (
        f"DefaultEndpointsProtocol=http;AccountName=account;AccountKey={key};"
        f"BlobEndpoint={url}/account"
    )


@contextmanager
def azure_client(url: str, attempts: int = 3, **more: Any) -> Iterator[Any]:
    """A client of the service."""
    with azure.storage.blob.BlobServiceClient.from_connection_string(
        _azure_connection(url), **_azure_options(azure.storage.blob, attempts, more)
    ) as client:
        yield client


@asynccontextmanager
async def azure_async_client(url: str, attempts: int = 3, **more: Any) -> AsyncIterator[Any]:
    """The same for asyncio."""
    async with azure.storage.blob.aio.BlobServiceClient.from_connection_string(
        _azure_connection(url), **_azure_options(azure.storage.blob.aio, attempts, more)
    ) as client:
        yield client
