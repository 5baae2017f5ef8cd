"""AWS: every botocore operation, and the transfers that boto3 runs in threads of its own."""

from __future__ import annotations

from typing import Any

from txprof import collector
from txprof.safety import drop_own_frame
from txprof.sensors.external import Describe, Described, ExternalCall, watched
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


def operation(service: str, name: str, parameters: Any) -> Described:
    """s3.PutObject bucket"""
    resource = ""
    if isinstance(parameters, dict):
        found = next((parameters[key] for key in _RESOURCES if parameters.get(key)), "")
        resource = str(found).rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return Described(_KINDS.get(service, "rpc"), f"{service}.{name} {resource}".rstrip())


def _api_call(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    name = args[0] if args else kwargs["operation_name"]
    parameters = args[1] if len(args) > 1 else kwargs.get("api_params")
    described = operation(client.meta.service_model.service_name, name, parameters)
    return described._replace(host=_host(client.meta.endpoint_url))


def _host(endpoint: str | None) -> str | None:
    call = http_call("", endpoint or "")
    return call.host if call is not None else None


def _bodies(result: Any) -> list[Any]:
    """What is left to be read of a result: S3 objects, Lambda payloads, Bedrock's event streams."""
    return [value._raw_stream for value in result.values() if hasattr(value, "_raw_stream")]


# s3transfer does the requests of upload_file and its like in threads of its own, while the caller
# waits for a future. One transfer is one call: judged when it is submitted, before anything goes
# out, and gone on with where somebody waits for it. What its threads send is part of it.


def _transfer(name: str, position: int) -> Describe:
    def describe(manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
        bucket = args[position] if len(args) > position else kwargs["bucket"]
        described = operation("s3", name, {"Bucket": bucket})
        return described._replace(host=_host(manager.client.meta.endpoint_url))

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
)
