"""Message brokers. A message that is published is a call, and so is the connection made for it.

Messages are named by where they go: exchange and routing key, subject, topic. Of a name that is
made anew each time (an inbox, a queue for replies) only what stays the same is told.
"""

from __future__ import annotations

import re
from typing import Any

from txprof.sensors.external import Described, watched, watched_coroutine
from txprof.sensors.going_on import goes_on
from txprof.sensors.naming import address, address_of_url, argument, default_port
from txprof.sensors.placing import Client, Target

_MADE_ANEW = re.compile(
    r"(?<=amq\.gen-).+"
    r"|(?<=_INBOX\.).+"
    r"|(?<=\$JS\.ACK\.).+"
    r"|[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}"
)


def _message(protocol: str, host: str | None, *names: Any) -> Described:
    """amqp events orders.created"""
    route = " ".join(str(name) for name in names if name)
    return Described("queue", f"{protocol} {_MADE_ANEW.sub('*', route)}".rstrip(), host)


def _connection(protocol: str, host: str | None) -> Described:
    """amqp mq.example.com:5672"""
    return Described("queue", f"{protocol} {host}" if host else protocol, host)


# --- kombu --------------------------------------------------------------------------------------


def _kombu_publish(producer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    exchange = argument(args, kwargs, 11, "exchange") or producer.exchange
    key = argument(args, kwargs, 1, "routing_key")
    # `producer.connection` would connect, where it is not known yet.
    host = _kombu_host(producer.__connection__)
    return _message(
        "kombu",
        host,
        getattr(exchange, "name", exchange),
        producer.routing_key if key is None else key,
    )


def _kombu_connect(
    connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> Described | None:
    host = _kombu_host(connection)
    # Brokers in memory, in files and behind other clients have no address, and no connection.
    return None if host is None or connection.connected else _connection("kombu", host)


def _kombu_host(connection: Any) -> str | None:
    if connection is None:
        return None
    if "://" in (connection.hostname or ""):  # transports of their own are given the whole URL
        return address_of_url(connection.hostname)
    port = connection.port or default_port(connection.transport_cls)
    return address(connection.hostname, port) if port else None


# --- pika ---------------------------------------------------------------------------------------


def _pika_connect(_made: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    parameters = argument(args, kwargs, 0, "parameters")
    if isinstance(parameters, list | tuple):
        parameters = parameters[0]  # the first that is tried
    if parameters is None:
        return _connection("amqp", address(None, default_port("amqp")))
    return _connection("amqp", address(parameters.host, parameters.port))


def _pika_publish(channel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    connection = channel.connection
    # Private: the connection beneath a blocking one.
    parameters = getattr(getattr(connection, "_impl", connection), "params", None)
    host = None if parameters is None else address(parameters.host, parameters.port)
    exchange = argument(args, kwargs, 0, "exchange")
    return _message("amqp", host, exchange, argument(args, kwargs, 1, "routing_key"))


# --- aio-pika -----------------------------------------------------------------------------------


def _aio_pika_connect(
    connection: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]
) -> Described:
    return _connection("amqp", address_of_url(connection.url))


def _aio_pika_publish(exchange: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    url = getattr(getattr(exchange.channel, "_connection", None), "url", None)  # private
    host = None if url is None else address_of_url(url)
    return _message("amqp", host, exchange.name, argument(args, kwargs, 1, "routing_key"))


# --- NATS ---------------------------------------------------------------------------------------


def _nats_connect(_client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    servers = argument(args, kwargs, 0, "servers") or "nats://localhost:4222"
    if isinstance(servers, list | tuple):
        servers = servers[0]
    url = str(servers)
    return _connection("nats", address_of_url(url if "://" in url else f"nats://{url}"))


def _nats_publish(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    subject = argument(args, kwargs, 0, "subject")
    described = _message("nats", _nats_host(client), subject)
    # Not a message to anybody: what consumers of a stream say to the server.
    return described._replace(kind="rpc") if str(subject).startswith("$JS.") else described


def _nats_stream(stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _nats_publish(stream._nc, args, kwargs)  # private


def _nats_request(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _nats_publish(client, args, kwargs)._replace(kind="rpc")


def _nats_flush(client: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _message("nats", _nats_host(client), "flush")


def _nats_host(client: Any) -> str | None:
    url = client.connected_url
    return None if url is None else address_of_url(url.geturl())


# --- MQTT ---------------------------------------------------------------------------------------


def _mqtt_connect(_client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    port = argument(args, kwargs, 1, "port") or 1883
    return _connection("mqtt", address(argument(args, kwargs, 0, "host"), port))


def _mqtt_publish(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    host = address(client.host, client.port) if client.host else None
    return _message("mqtt", host, argument(args, kwargs, 0, "topic"))


def _mqtt_publish_all(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    """mqtt orders; of messages to several topics, how many there are."""
    messages = argument(args, kwargs, 0, "msgs")
    host = argument(args, kwargs, 1, "hostname")
    topics = {each["topic"] if isinstance(each, dict) else each[0] for each in messages}
    named = topics.pop() if len(topics) == 1 else f"({len(messages)} messages)"
    return _message("mqtt", address(host, argument(args, kwargs, 2, "port") or 1883), named)


def _published(info: Any) -> tuple[Any, ...]:
    return (_waits_at(info),)


def _waits_at(info: Any) -> Any:
    return info._condition  # private: the one part of it that an attribute can be set on


CLIENTS = (
    Client(
        "kombu",
        "queue",
        "kombu events orders.created",
        (
            Target("kombu.messaging", "Producer.publish", watched(_kombu_publish)),
            # Private: however a connection is made, and however often that is tried.
            Target("kombu.connection", "Connection._ensure_connection", watched(_kombu_connect)),
        ),
    ),
    Client(
        "pika",
        "queue",
        "amqp events orders.created",
        (
            Target(
                "pika.adapters.blocking_connection",
                "BlockingConnection.__init__",
                watched(_pika_connect),
            ),
            Target(
                "pika.adapters.blocking_connection",
                "BlockingChannel.basic_publish",
                watched(_pika_publish),
            ),
            Target("pika.channel", "Channel.basic_publish", watched(_pika_publish)),
        ),
    ),
    Client(
        "aio-pika",
        "queue",
        "amqp events orders.created",
        (
            Target(
                "aio_pika.connection", "Connection.connect", watched_coroutine(_aio_pika_connect)
            ),
            Target(
                "aio_pika.robust_connection",
                "RobustConnection.connect",
                watched_coroutine(_aio_pika_connect),
            ),
            Target("aio_pika.exchange", "Exchange.publish", watched_coroutine(_aio_pika_publish)),
        ),
    ),
    Client(
        "nats-py",
        "queue, rpc",
        "nats orders.created",
        (
            Target("nats.aio.client", "Client.connect", watched_coroutine(_nats_connect)),
            Target("nats.aio.client", "Client.publish", watched_coroutine(_nats_publish)),
            Target("nats.aio.client", "Client.request", watched_coroutine(_nats_request)),
            Target("nats.aio.client", "Client.flush", watched_coroutine(_nats_flush)),
            Target("nats.js.client", "JetStreamContext.publish", watched_coroutine(_nats_stream)),
            Target(
                "nats.js.client",
                "JetStreamContext.publish_async",
                watched_coroutine(_nats_stream),
            ),
        ),
    ),
    Client(
        "paho-mqtt",
        "queue",
        "mqtt orders/created",
        (
            Target("paho.mqtt.client", "Client.connect", watched(_mqtt_connect)),
            Target("paho.mqtt.client", "Client.publish", watched(_mqtt_publish, _published)),
            Target("paho.mqtt.client", "MQTTMessageInfo.wait_for_publish", goes_on(of=_waits_at)),
            Target("paho.mqtt.publish", "multiple", watched(_mqtt_publish_all)),
        ),
    ),
)
