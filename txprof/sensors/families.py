"""The families of sensors, and which libraries each is for: none is imported before its library.

Most programs use a few of these libraries. What is not imported costs no start-up, no memory, and
no look as a profile begins.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

import wrapt

from txprof.safety import note_once
from txprof.sensors import placing
from txprof.sensors.placing import Client, Target

FAMILIES: dict[str, tuple[str, ...]] = {
    "llm": ("anthropic._base_client", "openai._base_client"),
    "http": (
        "http.client",
        "httpx",
        "httpx2",
        "requests.sessions",
        "requests_mock.adapter",
        "urllib.request",
        "urllib3.connectionpool",
        "urllib3.poolmanager",
        "urllib3.response",
    ),
    "aiohttp": (
        "aiohttp",
        "aiohttp.client",
        "aiohttp.client_ws",
        "aiohttp.streams",
        "aiohttp.test_utils",
    ),
    "websockets": ("websocket._core", "websockets.asyncio.client", "websockets.sync.client"),
    "grpc": ("grpc._channel", "grpc.aio._call", "grpc.aio._channel", "grpc.aio._interceptor"),
    "aws": (
        "aioboto3.s3.inject",
        "aiobotocore.client",
        "botocore.client",
        "s3transfer.futures",
        "s3transfer.manager",
        "s3transfer.tasks",
    ),
    "storage": (
        "azure.core.pipeline._base",
        "azure.core.pipeline._base_async",
        "azure.storage.blob._blob_client",
        "azure.storage.blob._download",
        "azure.storage.blob._shared.uploads",
        "azure.storage.blob.aio._blob_client_async",
        "azure.storage.blob.aio._download_async",
        "google.auth.transport.requests",
        "google.cloud.storage._bucket_metadata_cache",
        "google.cloud.storage._http",
        "google.cloud.storage.blob",
    ),
    "queues": (
        "arq.connections",
        "celery.app.base",
        "dramatiq.brokers.rabbitmq",
        "dramatiq.brokers.redis",
        "dramatiq.brokers.stub",
        "huey.api",
        "rq.group",
        "rq.queue",
        "taskiq.kicker",
    ),
    "brokers": (
        "aio_pika.connection",
        "aio_pika.exchange",
        "aio_pika.robust_connection",
        "kombu.connection",
        "kombu.messaging",
        "nats.aio.client",
        "nats.js.client",
        "paho.mqtt.client",
        "paho.mqtt.publish",
        "pika.adapters.blocking_connection",
        "pika.channel",
    ),
    "kafka": (
        "aiokafka.producer.producer",
        "confluent_kafka.aio",
        "confluent_kafka.serializing_producer",
        "kafka.producer.future",
        "kafka.producer.kafka",
    ),
    "mail": ("aiosmtplib.smtp", "smtplib"),
    "cache": (
        "pymemcache.client.base",
        "pymemcache.client.hash",
        "pymemcache.client.retrying",
        "redis.asyncio.client",
        "redis.asyncio.cluster",
        "redis.client",
        "redis.cluster",
    ),
    "process": ("asyncio", "asyncio.subprocess", "os", "subprocess"),
    "sleep": ("asyncio", "time"),
}
"""Each is a file beside this one, of `CLIENTS`: what calls the outside world. With the modules that
it wraps something of; tests/test_families.py compares the two."""

_pending: dict[str, list[str]] = {}
"""By a library's module: the families that wait for it to be imported."""

_brought: dict[str, list[Target]] = {}
"""The families that are imported, each with its targets."""

_hooked: set[str] = set()


def clients(family: str) -> tuple[Client, ...]:
    """The libraries that a family is for. Imports it."""
    module: Any = importlib.import_module(f"txprof.sensors.{family}")
    found: tuple[Client, ...] = module.CLIENTS
    return found


def start() -> None:
    """Wrap what is imported of their libraries, and the rest as soon as it is."""
    for target in brought():
        placing.place_now(target)
    for family, modules in FAMILIES.items():
        for module in modules:
            waiting = _pending.setdefault(module, [])
            if family not in waiting and family not in _brought:
                waiting.append(family)
    bring_pending()
    for module in _pending.keys() - _hooked:
        _hooked.add(module)
        wrapt.register_post_import_hook(functools.partial(_imported, module), module)


def bring_pending() -> None:
    """Import the families whose libraries came by another way than an import of theirs."""
    modules = sys.modules
    if _pending.keys().isdisjoint(modules.keys()):
        return
    for module in [name for name in _pending if modules.get(name) is not None]:
        _bring(module)


def brought() -> list[Target]:
    """What the families that are imported wrap."""
    return [target for targets in list(_brought.values()) for target in targets]


def _imported(module: str, _module: object) -> None:
    if placing.installed():
        _bring(module)
        for target in brought():
            if target.module == module:  # also of a family that came while it was half imported
                placing.place_now(target, imported=True)


def _bring(module: str) -> None:
    for family in _pending.pop(module, ()):
        if family in _brought:
            continue
        try:
            _brought[family] = [target for one in clients(family) for target in one.targets]
        except Exception as error:  # it may not keep the library from being imported
            note_once(f"the sensors of {family}", error)
        for target in _brought.get(family, ()):
            placing.place_now(target)
