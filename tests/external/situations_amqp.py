"""What programs do with RabbitMQ: kombu (also in memory), pika, aio-pika."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aio_pika
import kombu
import kombu.exceptions
import kombu.transport.memory
import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout
from queue_clients import QUEUE, Call, published, with_queue
from situations import Situation

EVENTS = f"{QUEUE}.events"
"""The name of an exchange."""


# --- kombu --------------------------------------------------------------------------------------


def _kombu(send: Callable[[Any], Any], url: str = "memory://", timeout: float = 60) -> Call:
    def call(address: Any) -> Any:
        options = {"confirm_publish": True, "max_retries": 1, "interval_start": 0.01}
        with kombu.Connection(
            url.format(address), connect_timeout=timeout, transport_options=options
        ) as connection:
            return send(connection)

    return call


def _publish(connection: Any) -> Any:
    queue = kombu.Queue(QUEUE, kombu.Exchange(""), routing_key=QUEUE)
    producer = connection.Producer()
    producer.publish({"order": 1}, routing_key=QUEUE)
    producer.publish({"order": 2}, routing_key=queue.routing_key)
    queues = kombu.transport.memory.Channel.queues
    return queues.pop(QUEUE).qsize() if connection.transport_cls == "memory" else None


def _publish_to_exchange(connection: Any) -> Any:
    connection.Producer(exchange=kombu.Exchange(EVENTS)).publish(
        {"order": 1}, routing_key="orders.created"
    )


def _ensure(connection: Any) -> Any:
    connection.ensure_connection(max_retries=2, interval_start=0.01, interval_step=0)


_KOMBU = (
    ("publish", "nothing", _kombu(_publish), published("kombu", QUEUE, QUEUE, connects=False), 2),
    (
        "publish to an exchange",
        "nothing",
        _kombu(_publish_to_exchange),
        published("kombu", f"{EVENTS} orders.created", connects=False),
        None,
    ),
    (
        "RabbitMQ",
        "rabbitmq",
        with_queue(_kombu(_publish, "amqp://{}")),
        published("kombu", QUEUE, QUEUE, connects=False),
        2,
    ),
    ("connect", "rabbitmq", _kombu(_ensure, "amqp://{}"), published("kombu"), None),
    (
        "refused",
        "nowhere",
        _kombu(_publish, "amqp://{}"),
        published("kombu", QUEUE, connects=False),
        kombu.exceptions.OperationalError,
    ),
    (
        "refused again and again",
        "nowhere",
        _kombu(_ensure, "amqp://{}"),
        published("kombu"),
        kombu.exceptions.OperationalError,
    ),
    (
        "timeout",
        "silent",
        _kombu(_publish, "amqp://{}", timeout=0.2),
        published("kombu", QUEUE, connects=False),
        kombu.exceptions.OperationalError,
    ),
)


# --- pika ---------------------------------------------------------------------------------------


def _pika(send: Callable[[Any], Any], timeout: float = 60) -> Call:
    def call(address: str) -> Any:
        host, _, port = address.partition(":")
        parameters = pika.ConnectionParameters(
            host, int(port), connection_attempts=1, socket_timeout=timeout, stack_timeout=timeout
        )
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            return send(channel)

    return call


def _basic_publish(channel: Any) -> Any:
    return channel.basic_publish("", QUEUE, b"order 1", mandatory=True)


def _publish_unroutable(channel: Any) -> Any:
    return channel.basic_publish("", f"{QUEUE}.nowhere", b"order 1", mandatory=True)


def _publish_to_no_exchange(channel: Any) -> Any:
    return channel.basic_publish(
        exchange=f"{QUEUE}.none", routing_key="orders.created", body=b"order 1"
    )


_PIKA = (
    ("publish", "rabbitmq", with_queue(_pika(_basic_publish)), published("amqp", QUEUE), 1),
    (
        "unroutable",
        "rabbitmq",
        _pika(_publish_unroutable),
        published("amqp", f"{QUEUE}.nowhere"),
        pika.exceptions.UnroutableError,
    ),
    (
        "no such exchange",
        "rabbitmq",
        _pika(_publish_to_no_exchange),
        published("amqp", f"{QUEUE}.none orders.created"),
        pika.exceptions.ChannelClosedByBroker,
    ),
    (
        "refused",
        "nowhere",
        _pika(_basic_publish),
        published("amqp"),
        pika.exceptions.AMQPConnectionError,
    ),
    (
        "timeout",
        "silent",
        _pika(_basic_publish, timeout=0.2),
        published("amqp"),
        AMQPConnectorStackTimeout,
    ),
)


# --- aio-pika -----------------------------------------------------------------------------------


def _aio_pika(
    send: Callable[[Any], Any], connect: Any = aio_pika.connect, timeout: float = 60
) -> Call:
    def call(address: str) -> Any:
        async def run() -> Any:
            async with await connect(
                f"amqp://guest:guest@{address}/", timeout=timeout
            ) as connection:
                return await send(await connection.channel())

        return asyncio.run(run())

    return call


async def _publish_async(channel: Any) -> Any:
    await channel.default_exchange.publish(aio_pika.Message(b"order 1"), routing_key=QUEUE)


async def _publish_to_exchange_async(channel: Any) -> Any:
    exchange = await channel.declare_exchange(EVENTS, aio_pika.ExchangeType.TOPIC)
    try:
        await exchange.publish(aio_pika.Message(b"order 1"), "orders.created", mandatory=False)
    finally:
        await exchange.delete()


_AIO_PIKA = (
    ("publish", "rabbitmq", with_queue(_aio_pika(_publish_async)), published("amqp", QUEUE), 1),
    (
        "robust",
        "rabbitmq",
        with_queue(_aio_pika(_publish_async, aio_pika.connect_robust)),
        published("amqp", QUEUE),
        1,
    ),
    (
        "publish to an exchange",
        "rabbitmq",
        _aio_pika(_publish_to_exchange_async),
        published("amqp", f"{EVENTS} orders.created"),
        None,
    ),
    ("refused", "nowhere", _aio_pika(_publish_async), published("amqp"), ConnectionError),
    (
        "robust, refused",
        "nowhere",
        _aio_pika(_publish_async, aio_pika.connect_robust),
        published("amqp"),
        ConnectionError,
    ),
    ("timeout", "silent", _aio_pika(_publish_async, timeout=0.2), published("amqp"), TimeoutError),
)


SITUATIONS = [
    Situation(client, name, server, call, seen_of, comes_to)
    for client, situations in (
        ("kombu", _KOMBU),
        ("pika", _PIKA),
        ("aio-pika", _AIO_PIKA),
    )
    for name, server, call, seen_of, comes_to in situations
]
