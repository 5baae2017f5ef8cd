"""What programs do with Kafka, and librdkafka's stand-in for a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiokafka
import aiokafka.errors
import confluent_kafka
import confluent_kafka.aio
import kafka.errors
from queue_clients import QUEUE, kafka_producer
from situations import Situation

Call = Callable[[Any], Any]


def seen(*names: str) -> Callable[[Any], Any]:
    """A connection is shown by its address, `at`; records by their topics."""
    return lambda address: [("queue", f"kafka {name.format(at=address)}") for name in names]


# --- kafka-python -------------------------------------------------------------------------------


def _kafka(send: Callable[[Any], Any], **options: Any) -> Call:
    def call(address: str) -> Any:
        with kafka_producer(address, **options) as producer:
            return send(producer)

    return call


def _send_and_get(producer: Any) -> Any:
    return producer.send(QUEUE, b"order 1").get(timeout=60).topic


def _send_and_flush(producer: Any) -> Any:
    sent = [producer.send(QUEUE, b"order 1"), producer.send(QUEUE, b"order 2")]
    producer.flush(timeout=60)
    return [one.succeeded() for one in sent]


_KAFKA = (
    ("get", "kafka", _kafka(_send_and_get), seen("flush", QUEUE), QUEUE),
    ("flush", "kafka", _kafka(_send_and_flush), seen("flush", "flush", QUEUE, QUEUE), [True, True]),
    (
        "refused",
        "nowhere",
        _kafka(_send_and_get, api_version=None, bootstrap_timeout_ms=200),
        seen("{at}"),
        kafka.errors.KafkaError,
    ),
    (
        "timeout",
        "silent",
        _kafka(_send_and_get, max_block_ms=200),
        seen("flush", QUEUE),
        kafka.errors.KafkaTimeoutError,
    ),
)


# --- aiokafka -----------------------------------------------------------------------------------


def _aiokafka(send: Callable[[Any], Any], timeout: int = 60_000) -> Call:
    def call(address: str) -> Any:
        async def run() -> Any:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=address, request_timeout_ms=timeout
            )
            try:
                await producer.start()
                return await send(producer)
            finally:
                await producer.stop()

        return asyncio.run(run())

    return call


async def _send_and_wait(producer: Any) -> Any:
    return (await producer.send_and_wait(QUEUE, b"order 1")).topic


async def _send_and_flush_async(producer: Any) -> Any:
    sent = await producer.send(QUEUE, b"order 1")
    await producer.flush()
    return sent.done()


async def _send_batch(producer: Any) -> Any:
    batch = producer.create_batch()
    batch.append(value=b"order 1", key=None, timestamp=None)
    return (await (await producer.send_batch(batch, QUEUE, partition=0))).topic


_AIOKAFKA = (
    ("wait", "kafka", _aiokafka(_send_and_wait), seen("{at}", QUEUE), QUEUE),
    ("flush", "kafka", _aiokafka(_send_and_flush_async), seen("{at}", "flush", QUEUE), True),
    ("batch", "kafka", _aiokafka(_send_batch), seen("{at}", QUEUE), QUEUE),
    (
        "refused",
        "nowhere",
        _aiokafka(_send_and_wait),
        seen("{at}"),
        aiokafka.errors.KafkaConnectionError,
    ),
    (
        "timeout",
        "silent",
        _aiokafka(_send_and_wait, timeout=200),
        seen("{at}"),
        aiokafka.errors.KafkaConnectionError,
    ),
)


# --- confluent-kafka ----------------------------------------------------------------------------


def _configured(address: str) -> dict[str, Any]:
    return {"bootstrap.servers": address, "log_level": 0}


def _produce(seconds: float) -> Call:
    def call(address: str) -> Any:
        producer = confluent_kafka.SerializingProducer(_configured(address))
        producer.produce(QUEUE, value=b"order 1")
        return producer.flush(seconds)

    return call


def _produce_async(address: str) -> Any:
    async def run() -> Any:
        producer = confluent_kafka.aio.AIOProducer(_configured(address))
        delivered = await producer.produce(QUEUE, value=b"order 1")
        await producer.flush()
        await producer.close()
        return (await delivered).topic()

    return asyncio.run(run())


def _plain_producer(address: str) -> Any:
    producer = confluent_kafka.Producer(_configured(address))
    producer.produce(QUEUE, b"order 1")
    return producer.flush(60)


_CONFLUENT = (
    ("produce", "kafka", _produce(60), seen("flush", QUEUE), 0),
    ("asyncio", "kafka", _produce_async, seen("flush", "flush", QUEUE), QUEUE),
    ("refused", "nowhere", _produce(0.2), seen("flush", QUEUE), 1),
    ("a class of C, which is not seen", "kafka", _plain_producer, seen(), 0),
)

SITUATIONS = [
    Situation(client, name, server, call, seen_of, comes_to)
    for client, situations in (
        ("kafka-python", _KAFKA),
        ("aiokafka", _AIOKAFKA),
        ("confluent-kafka", _CONFLUENT),
    )
    for name, server, call, seen_of, comes_to in situations
]
