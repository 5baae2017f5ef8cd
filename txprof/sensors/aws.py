"""AWS: every botocore operation, in threads and in asyncio, and the transfers made of several."""

from __future__ import annotations

import functools
from typing import Any

from txprof import collector
from txprof.safety import drop_own_frame
from txprof.sensors import aiohttp
from txprof.sensors.external import (
    Describe,
    Described,
    ExternalCall,
    watched,
    watched_coroutine,
)
from txprof.sensors.going_on import goes_on
from txprof.sensors.http import http_call
from txprof.sensors.placing import Client, Target, only_where

_KINDS = {
    "s3": "storage",
    "s3control": "storage",
    "sqs": "queue",
    "sns": "queue",
    "events": "queue",
    "kinesis": "queue",
    "firehose": "queue",
    "ses": "mail",
    "sesv2": "mail",
}
"""Kinds by service; every other service is "rpc"."""

_RESOURCES = ("Bucket", "QueueUrl", "TopicArn", "StreamName", "TableName", "FunctionName", "Name")
"""The parameter that says which bucket, queue, topic, ... an operation works on."""


def operation(service: str, name: str, parameters: Any, endpoint: str | None) -> Described:
    """s3.PutObject bucket"""
    resource = ""
    if isinstance(parameters, dict):
        for key in _RESOURCES:
            if parameters.get(key):
                resource = str(parameters[key])
                break
    return _described(service, name, resource, endpoint)


@functools.lru_cache(maxsize=1_024)
def _described(service: str, name: str, resource: str, endpoint: str | None) -> Described:
    resource = resource.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    target = f"{service}.{name} {resource}".rstrip()
    return Described(_KINDS.get(service, "rpc"), target, _host(endpoint))


def _api_call(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    name = args[0] if args else kwargs["operation_name"]
    parameters = args[1] if len(args) > 1 else kwargs.get("api_params")
    meta = client.meta
    return operation(meta.service_model.service_name, name, parameters, meta.endpoint_url)


def _host(endpoint: str | None) -> str | None:
    call = http_call("", endpoint or "")
    return call.host if call is not None else None


def _bodies(result: Any) -> list[Any]:
    """What is left to be read of a result: S3 objects, Lambda payloads, Bedrock's event streams."""
    return [value._raw_stream for value in result.values() if hasattr(value, "_raw_stream")]


def _bodies_async(result: Any) -> list[Any]:
    """The same of aiobotocore, whose bodies hold a response of aiohttp's, or of httpx's, or are
    around it.
    """
    found: list[Any] = []
    for value in result.values():
        response = getattr(value, "_raw_stream", None) or getattr(value, "__wrapped__", None)
        if hasattr(response, "content") and hasattr(response, "release"):
            found += aiohttp.body(response)
        elif hasattr(response, "aiter_raw"):
            found.append(response)
    return found


# s3transfer does the requests of upload_file and its like in threads of its own, while the caller
# waits for a future. One transfer is one call: judged when it is submitted, before anything goes
# out, and gone on with where somebody waits for it. What its threads send is part of it.


def _transfer(name: str, position: int) -> Describe:
    def describe(manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
        bucket = args[position] if len(args) > position else kwargs["bucket"]
        return operation("s3", name, {"Bucket": bucket}, manager.client.meta.endpoint_url)

    return describe


def _transfer_async(name: str, position: int) -> Describe:
    def describe(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
        if client is None:  # called as the function that it is
            client, *args = args  # type: ignore[assignment]
        bucket = args[position] if len(args) > position else kwargs["Bucket"]
        return operation("s3", name, {"Bucket": bucket}, client.meta.endpoint_url)

    return describe


def _coordinator(future: Any) -> tuple[Any, ...]:
    return (future._coordinator,)


@only_where(collector.watches)
def _in_transfer_thread(
    wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    part = ExternalCall(None, [])
    part.enter()
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    finally:
        part.leave()


CLIENTS = (
    Client(
        "botocore",
        "storage, queue, mail, rpc",
        "s3.PutObject product-images",
        (Target("botocore.client", "BaseClient._make_api_call", watched(_api_call, _bodies)),),
    ),
    Client(
        "s3transfer",
        "storage",
        "s3.PutObject product-images",
        (
            *(
                Target(
                    "s3transfer.manager",
                    f"TransferManager.{method}",
                    watched(_transfer(name, position), _coordinator),
                )
                for method, name, position in (
                    ("upload", "PutObject", 1),  # the bucket's position among the arguments
                    ("download", "GetObject", 0),
                    ("copy", "CopyObject", 1),
                    ("delete", "DeleteObject", 0),
                )
            ),
            Target("s3transfer.futures", "TransferCoordinator.result", goes_on()),
            Target("s3transfer.tasks", "Task.__call__", _in_transfer_thread),
        ),
    ),
    Client(
        "aiobotocore",
        "storage, queue, mail, rpc",
        "s3.PutObject product-images",
        (
            Target(
                "aiobotocore.client",
                "AioBaseClient._make_api_call",
                watched_coroutine(_api_call, _bodies_async),
            ),
        ),
    ),
    Client(
        "aioboto3",
        "storage",
        "s3.PutObject product-images",
        tuple(
            # Clients made from now on get these as their methods.
            Target("aioboto3.s3.inject", method, watched_coroutine(_transfer_async(name, position)))
            for method, name, position in (
                ("upload_file", "PutObject", 1),  # the bucket's position among the arguments
                ("upload_fileobj", "PutObject", 1),
                ("download_file", "GetObject", 0),
                ("download_fileobj", "GetObject", 0),
                ("copy", "CopyObject", 1),
            )
        ),
    ),
)
