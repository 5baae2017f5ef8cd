"""Kafka. A record that is sent is a call; one that is waited for goes on with it.

Producers send in the background: what `flush` waits for is a call of its own. Classes of C cannot
be wrapped, so confluent-kafka's plain `Producer` is not seen.
"""

from __future__ import annotations

from typing import Any

from txprof.sensors.external import Described, watched, watched_coroutine
from txprof.sensors.going_on import goes_on
from txprof.sensors.naming import argument
from txprof.sensors.placing import Client, Target


def _record(topic: Any, servers: tuple[str, ...] = ()) -> Described:
    """kafka orders"""
    # Of several brokers nobody knows which one a record goes to.
    return Described("queue", f"kafka {topic}", servers[0] if len(servers) == 1 else None)


def _connection(servers: tuple[str, ...]) -> Described:
    """kafka broker.example.com:9092"""
    return _record(",".join(servers), servers)


def _servers(configured: Any) -> tuple[str, ...]:
    """The brokers that a client was told of, each as "name:port"."""
    several = configured.split(",") if isinstance(configured, str) else configured or ("localhost",)
    names = [str(one).strip().rpartition("://")[2] for one in several]
    return tuple(name if name.rpartition(":")[2].isdigit() else f"{name}:9092" for name in names)


# --- kafka-python -------------------------------------------------------------------------------


def _kafka_connect(
    _producer: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Described | None:
    if kwargs.get("api_version") not in (None, "auto"):
        return None  # it need not ask the brokers
    return _connection(_servers(kwargs.get("bootstrap_servers")))


def _kafka_send(producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    topic = argument(args, kwargs, 0, "topic")
    return _record(topic, _servers(producer.config["bootstrap_servers"]))


def _kafka_flush(producer: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _record("flush", _servers(producer.config["bootstrap_servers"]))


def _sent(future: Any) -> tuple[Any, ...]:
    return (_waits_at(future),)


def _waits_at(future: Any) -> Any:
    return future._produce_future._latch  # private: a part of it that can have an attribute set


# --- aiokafka -----------------------------------------------------------------------------------


def _aiokafka_connect(producer: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _connection(_aiokafka_servers(producer))


def _aiokafka_send(producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _record(argument(args, kwargs, 0, "topic"), _aiokafka_servers(producer))


def _aiokafka_batch(producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _record(argument(args, kwargs, 1, "topic"), _aiokafka_servers(producer))


def _aiokafka_flush(producer: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _record("flush", _aiokafka_servers(producer))


def _aiokafka_servers(producer: Any) -> tuple[str, ...]:
    return _servers(getattr(producer.client, "_bootstrap_servers", None))  # private


# --- confluent-kafka ----------------------------------------------------------------------------


def _confluent_produce(_producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _record(argument(args, kwargs, 0, "topic"))


def _confluent_flush(_producer: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _record("flush")


_SHOWN = "kafka orders"

CLIENTS = (
    Client(
        "kafka-python",
        "queue",
        _SHOWN,
        (
            Target("kafka.producer.kafka", "KafkaProducer.__init__", watched(_kafka_connect)),
            Target("kafka.producer.kafka", "KafkaProducer.send", watched(_kafka_send, _sent)),
            Target("kafka.producer.kafka", "KafkaProducer.flush", watched(_kafka_flush)),
            Target("kafka.producer.future", "FutureRecordMetadata.get", goes_on(of=_waits_at)),
        ),
    ),
    Client(
        "aiokafka",
        "queue",
        _SHOWN,
        tuple(
            Target(
                "aiokafka.producer.producer",
                f"AIOKafkaProducer.{method}",
                watched_coroutine(describe),
            )
            for method, describe in (
                ("start", _aiokafka_connect),
                ("send", _aiokafka_send),
                ("send_and_wait", _aiokafka_send),
                ("send_batch", _aiokafka_batch),
                ("flush", _aiokafka_flush),
            )
        ),
    ),
    Client(
        "confluent-kafka",
        "queue",
        _SHOWN,
        (
            Target(
                "confluent_kafka.serializing_producer",
                "SerializingProducer.produce",
                watched(_confluent_produce),
            ),
            Target(
                "confluent_kafka.serializing_producer",
                "SerializingProducer.flush",
                watched(_confluent_flush),
            ),
            Target(
                "confluent_kafka.aio",
                "AIOProducer.produce",
                watched_coroutine(_confluent_produce),
            ),
            Target("confluent_kafka.aio", "AIOProducer.flush", watched_coroutine(_confluent_flush)),
        ),
        unseen=("confluent_kafka:Producer.produce", "confluent_kafka:Producer.flush"),
    ),
)
