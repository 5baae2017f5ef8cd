"""What programs do with message brokers: NATS, MQTT."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import nats
import nats.errors
import paho.mqtt.client
import paho.mqtt.enums
import paho.mqtt.publish
from queue_clients import QUEUE, Call, published
from situations import Situation

# --- NATS ---------------------------------------------------------------------------------------


async def _told(_error: Exception) -> None:
    pass


def _nats(send: Callable[[Any], Any], timeout: float = 60) -> Call:
    def call(address: str) -> Any:
        async def run() -> Any:
            client = await nats.connect(
                f"nats://{address}",
                allow_reconnect=False,
                connect_timeout=timeout,
                max_reconnect_attempts=1,
                reconnect_time_wait=0.01,
                error_cb=_told,
            )
            try:
                return await send(client)
            finally:
                await client.close()

        return asyncio.run(run())

    return call


async def _publish_and_flush(client: Any) -> Any:
    subscription = await client.subscribe(QUEUE)
    await client.publish(QUEUE, b"order 1")
    await client.flush(timeout=60)
    return (await subscription.next_msg(timeout=60)).data


async def _request(client: Any) -> Any:
    async def answer(message: Any) -> None:
        await message.respond(b"1.50")

    await client.subscribe(QUEUE, cb=answer)
    return (await client.request(QUEUE, b"price", timeout=60)).data


async def _request_nobody(client: Any) -> Any:
    return await client.request(f"{QUEUE}.nobody", b"price", timeout=60)


async def _request_too_long(client: Any) -> Any:
    await client.subscribe(QUEUE)
    return await client.request(QUEUE, b"price", timeout=0.2)


async def _stream(client: Any) -> Any:
    stream = client.jetstream()
    await stream.add_stream(name=QUEUE, subjects=[QUEUE], storage="memory")
    try:
        first = await stream.publish(QUEUE, b"order 1", timeout=60)
        second = await (await stream.publish_async(QUEUE, b"order 2"))
        return first.seq, second.seq
    finally:
        await stream.delete_stream(QUEUE)


async def _no_stream(client: Any) -> Any:
    return await client.jetstream().publish(QUEUE, b"order 1", timeout=60)


def _rpc(*names: str) -> Callable[[Any], Any]:
    def targets(address: str) -> list[tuple[str, str]]:
        return [("queue", f"nats {address}"), *(("rpc", f"nats {name}") for name in names)]

    return targets


def _requested(address: str) -> list[tuple[str, str]]:
    reply = ("queue", "nats _INBOX.*")  # in a task of the client's own
    return [("queue", f"nats {address}"), reply, ("rpc", f"nats {QUEUE}")]


def _streamed(address: str) -> list[tuple[str, str]]:
    return [
        ("queue", f"nats {address}"),
        ("queue", f"nats {QUEUE}"),
        ("queue", f"nats {QUEUE}"),
        ("rpc", f"nats $JS.API.STREAM.CREATE.{QUEUE}"),
        ("rpc", f"nats $JS.API.STREAM.DELETE.{QUEUE}"),
    ]


_NATS = (
    ("publish", "nats", _nats(_publish_and_flush), published("nats", "flush", QUEUE), b"order 1"),
    ("request", "nats", _nats(_request), _requested, b"1.50"),
    (
        "no responders",
        "nats",
        _nats(_request_nobody),
        _rpc(f"{QUEUE}.nobody"),
        nats.errors.NoRespondersError,
    ),
    ("timeout", "nats", _nats(_request_too_long), _rpc(QUEUE), nats.errors.TimeoutError),
    ("stream", "nats", _nats(_stream), _streamed, (1, 2)),
    (
        "no stream",
        "nats",
        _nats(_no_stream),
        published("nats", QUEUE),
        nats.js.errors.NoStreamResponseError,
    ),
    (
        "refused",
        "nowhere",
        _nats(_publish_and_flush),
        published("nats"),
        nats.errors.NoServersError,
    ),
    (
        "connect timeout",
        "silent",
        _nats(_publish_and_flush, timeout=0.2),
        published("nats"),
        TimeoutError,
    ),
)


# --- MQTT ---------------------------------------------------------------------------------------


def _mqtt_publish(address: str) -> Any:
    host, _, port = address.partition(":")
    client = paho.mqtt.client.Client(paho.mqtt.enums.CallbackAPIVersion.VERSION2)
    client.connect_timeout = 60
    client.connect(host, int(port))
    client.loop_start()
    try:
        info = client.publish(QUEUE, b"order 1", qos=1)
        info.wait_for_publish(timeout=60)
        return info.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def _mqtt_single(address: str) -> Any:
    host, _, port = address.partition(":")
    return paho.mqtt.publish.single(QUEUE, b"order 1", hostname=host, port=int(port))


def _mqtt_multiple(address: str) -> Any:
    host, _, port = address.partition(":")
    messages = [(QUEUE, b"order 1", 0, False), {"topic": f"{QUEUE}/more", "payload": b"order 2"}]
    return paho.mqtt.publish.multiple(messages, hostname=host, port=int(port))


_MQTT = (
    ("publish", "mqtt", _mqtt_publish, published("mqtt", QUEUE), True),
    ("single", "mqtt", _mqtt_single, published("mqtt", QUEUE, connects=False), None),
    ("multiple", "mqtt", _mqtt_multiple, published("mqtt", "(2 messages)", connects=False), None),
    ("refused", "nowhere", _mqtt_publish, published("mqtt"), ConnectionRefusedError),
    (
        "single, refused",
        "nowhere",
        _mqtt_single,
        published("mqtt", QUEUE, connects=False),
        ConnectionRefusedError,
    ),
)

SITUATIONS = [
    Situation(client, name, server, call, seen_of, comes_to)
    for client, situations in (
        ("nats-py", _NATS),
        ("paho-mqtt", _MQTT),
    )
    for name, server, call, seen_of, comes_to in situations
]
