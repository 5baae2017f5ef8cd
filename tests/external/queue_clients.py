"""The clients of task queues and brokers, and what the tests ask of their servers themselves."""

from __future__ import annotations

import importlib
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import amqp
import celery
import confluent_kafka
import kombu

from txprof.doctor import is_installed
from txprof.sensors import brokers, queues
from txprof.sensors import kafka as kafka_sensor

QUEUE = f"txprof-{uuid.uuid4().hex[:12]}"
"""The name of queues, topics and subjects of these tests' own."""

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of some clients importing alone warns
    for _client in (*queues.CLIENTS, *brokers.CLIENTS, *kafka_sensor.CLIENTS):
        for _target in filter(is_installed, _client.targets):
            importlib.import_module(_target.module)


Call = Callable[[Any], Any]


def seen(*targets: str) -> Callable[[Any], list[tuple[str, str]]]:
    """What a situation shows: messages to queues, whatever the server."""
    return lambda _server: [("queue", target) for target in targets]


def published(protocol: str, *names: str, connects: bool = True) -> Callable[[Any], Any]:
    """The same: a connection, if one is made by itself, and messages by where they went."""

    def targets(address: Any) -> list[tuple[str, str]]:
        connection = [f"{protocol} {address}"] if connects else []
        return [("queue", target) for target in (*connection, *(f"{protocol} {n}" for n in names))]

    return targets


@contextmanager
def channel() -> Iterator[Any]:
    """A channel of RabbitMQ, by a client that is not watched by itself."""
    connection = amqp.Connection("127.0.0.1:5672")
    connection.connect()
    try:
        yield connection.channel()
    finally:
        connection.close()


def with_queue(call: Callable[[str], Any], *, declared: bool = True) -> Callable[[str], Any]:
    """The number of messages that a call to RabbitMQ put into its queue; the queue is gone then."""

    def run(address: str) -> Any:
        with channel() as own:
            try:
                if declared:
                    own.queue_declare(QUEUE, durable=True, auto_delete=False)
                call(address)
                return own.queue_declare(QUEUE, passive=True).message_count
            finally:
                for name in (QUEUE, f"{QUEUE}.DQ", f"{QUEUE}.XQ"):  # dramatiq makes two more
                    own.queue_delete(name)
                own.exchange_delete(QUEUE)  # and celery an exchange

    return run


@contextmanager
def kafka_server() -> Iterator[str]:
    """A server of Kafka's protocol on loopback, which librdkafka has for tests: its address."""
    cluster = confluent_kafka.Producer(
        {"test.mock.num.brokers": 1, "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    )
    (broker,) = cluster.list_topics(timeout=60).brokers.values()
    yield f"{broker.host}:{broker.port}"
    cluster.flush(0)


@contextmanager
def kafka_producer(address: str, **options: Any) -> Iterator[Any]:
    """A producer of kafka-python, as the stand-in can answer it."""
    # It does not know how to refuse what newer clients ask first.
    known = {"api_version": (0, 11), "enable_idempotence": False, **options}
    producer = importlib.import_module("kafka").KafkaProducer(bootstrap_servers=address, **known)
    try:
        yield producer
    finally:
        producer.close(timeout=0)  # flushes, and so do those of confluent-kafka


def send_mail(order: int) -> str:
    """The task of every queue."""
    return f"order {order}"


@contextmanager
def celery_app(broker: str, timeout: float = 60, **conf: Any) -> Iterator[Any]:
    """An application with the task `app.tasks.notify`."""
    app = celery.Celery(broker=broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_publish_retry=False,
        broker_connection_timeout=timeout,
        broker_transport_options={
            "confirm_publish": True,
            "global_keyprefix": QUEUE,
            "max_retries": 1,
            "interval_start": 0.01,
        },
        **conf,
    )
    app.task(name="app.tasks.notify")(send_mail)
    try:
        yield app
    finally:
        app.close()
        kombu.pools.reset()
