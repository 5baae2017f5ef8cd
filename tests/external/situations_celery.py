"""What programs do with celery: a broker in memory, RabbitMQ, Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import celery
import kombu.exceptions
import kombu.transport.memory
from queue_clients import QUEUE, Call, celery_app, seen, with_queue
from situations import Situation


def _celery(url: str, send: Callable[[Any, Any], Any], **conf: Any) -> Call:
    def call(address: Any) -> Any:
        with celery_app(url.format(address), **conf) as app:
            return send(app, app.tasks["app.tasks.notify"])

    return call


def _in_memory(send: Callable[[Any, Any], Any]) -> Call:
    """The number of messages that were put into the broker in memory."""
    sends = _celery("memory://", send)

    def call(address: Any) -> Any:
        sends(address)
        return kombu.transport.memory.Channel.queues.pop(QUEUE).qsize()

    return call


def _delay(_app: Any, task: Any) -> Any:
    task.delay(1)


def _by_name(app: Any, _task: Any) -> Any:
    app.send_task(name="elsewhere.tasks.notify", args=[1])


def _in_a_minute(_app: Any, task: Any) -> Any:
    task.apply_async((1,), countdown=60)


def _group(_app: Any, task: Any) -> Any:
    celery.group(task.s(1), task.s(2)).apply_async()


def _chain(_app: Any, task: Any) -> Any:
    celery.chain(task.s(1), task.s()).apply_async()


_NOTIFY = "celery app.tasks.notify"

_CELERY = (
    ("delay", "nothing", _in_memory(_delay), seen(_NOTIFY), 1),
    ("by name", "nothing", _in_memory(_by_name), seen("celery elsewhere.tasks.notify"), 1),
    ("in a minute", "nothing", _in_memory(_in_a_minute), seen(_NOTIFY), 1),
    ("group", "nothing", _in_memory(_group), seen(_NOTIFY, _NOTIFY), 2),
    ("chain", "nothing", _in_memory(_chain), seen(_NOTIFY), 1),
    ("called", "nothing", _celery("memory://", lambda _, task: task(1)), seen(), "order 1"),
    (
        "applied",
        "nothing",
        _celery("memory://", lambda _, task: task.apply((1,)).get()),
        seen(),
        "order 1",
    ),
    (
        "eager",
        "nothing",
        _celery("memory://", lambda _, task: task.delay(1).get(), task_always_eager=True),
        seen(),
        "order 1",
    ),
    ("RabbitMQ", "rabbitmq", with_queue(_celery("amqp://{}", _delay)), seen(_NOTIFY), 1),
    ("Redis", "redis_queue", _celery("{}", _delay), seen(_NOTIFY), None),
    (
        "refused",
        "nowhere",
        _celery("amqp://{}", _delay),
        seen(_NOTIFY),
        kombu.exceptions.OperationalError,
    ),
    (
        "timeout",
        "silent",
        _celery("amqp://{}", _delay, timeout=0.2),
        seen(_NOTIFY),
        kombu.exceptions.OperationalError,
    ),
)

SITUATIONS = [
    Situation("celery", name, server, call, shown, comes_to)
    for name, server, call, shown, comes_to in _CELERY
]
