"""What programs do with task queues: dramatiq, rq, arq, huey, taskiq."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from collections.abc import Callable
from typing import Any

import dramatiq
import fakeredis
import pytest
import redis
import rq
import rq.group
import taskiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from huey import MemoryHuey, RedisHuey
from huey.api import group as huey_group
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout
from queue_clients import QUEUE, Call, seen, send_mail, with_queue
from situations import Situation

JOB = f"{QUEUE}-job"
"""The id of a job, so that it is the same each time, and can be removed."""


# --- dramatiq -----------------------------------------------------------------------------------


def _dramatiq(make: Callable[[Any], Any], send: Callable[[Any], Any]) -> Call:
    def call(server: Any) -> Any:
        broker = make(server)
        try:
            return send(
                dramatiq.actor(send_mail, broker=broker, actor_name="notify", queue_name=QUEUE)
            )
        finally:
            broker.close()

    return call


def _send(actor: Any) -> Any:
    return actor.send(1).actor_name


def _send_later(actor: Any) -> Any:
    return actor.send_with_options(args=(1,), delay=60_000).actor_name


def _send_group(actor: Any) -> Any:
    messages = [actor.message(1), actor.message(2)]
    return len(dramatiq.group(messages, broker=actor.broker).run())


def _rabbitmq_broker(timeout: float = 60) -> Callable[[str], Any]:
    def make(address: str) -> Any:
        host, _, port = address.partition(":")
        return RabbitmqBroker(
            host=host,
            port=int(port),
            confirm_delivery=True,
            connection_attempts=1,
            socket_timeout=timeout,
            stack_timeout=timeout,
        )

    return make


def _redis_broker(url: str) -> Any:
    return RedisBroker(url=url, namespace=QUEUE)


def _stub(_server: Any) -> Any:
    return StubBroker()


_DRAMATIQ = (
    ("stub", "nothing", _dramatiq(_stub, _send), seen("dramatiq notify"), "notify"),
    ("stub, later", "nothing", _dramatiq(_stub, _send_later), seen("dramatiq notify"), "notify"),
    (
        "stub, group",
        "nothing",
        _dramatiq(_stub, _send_group),
        seen("dramatiq notify", "dramatiq notify"),
        2,
    ),
    (
        "called",
        "nothing",
        _dramatiq(_stub, lambda actor: actor(1)),
        seen(),
        "order 1",
    ),
    ("Redis", "redis_queue", _dramatiq(_redis_broker, _send), seen("dramatiq notify"), "notify"),
    (
        "RabbitMQ",
        "rabbitmq",
        with_queue(_dramatiq(_rabbitmq_broker(), _send), declared=False),
        seen("dramatiq notify"),
        1,
    ),
    (
        "refused",
        "nowhere",
        _dramatiq(_rabbitmq_broker(), _send),
        seen("dramatiq notify"),
        dramatiq.errors.ConnectionClosed,
    ),
    (
        "Redis, refused",
        "nowhere",
        _dramatiq(lambda address: _redis_broker(f"redis://{address}"), _send),
        seen("dramatiq notify"),
        redis.ConnectionError,
    ),
    (
        "timeout",
        "silent",
        _dramatiq(_rabbitmq_broker(timeout=0.1), _send),
        seen("dramatiq notify"),
        AMQPConnectorStackTimeout,
    ),
)


# --- rq -----------------------------------------------------------------------------------------


def _rq(send: Callable[[Any], Any], **options: Any) -> Call:
    def call(url: Any) -> Any:
        connection = redis.Redis.from_url(url) if url else fakeredis.FakeRedis()
        try:
            return send(rq.Queue(QUEUE, connection=connection, **options))
        finally:
            connection.close()

    return call


def _enqueue(queue: Any) -> Any:
    return queue.enqueue(send_mail, 1, job_id=JOB).id


def _enqueue_in(queue: Any) -> Any:
    return queue.enqueue_in(datetime.timedelta(minutes=1), send_mail, 1, job_id=JOB).id


def _enqueue_many(queue: Any) -> Any:
    return len(queue.enqueue_many([queue.prepare_data(send_mail, (1,)) for _ in range(3)]))


def _enqueue_group(queue: Any) -> Any:
    jobs = [queue.prepare_data(send_mail, (1,)) for _ in range(2)]
    return len(rq.group.Group.create(queue.connection, QUEUE).enqueue_many(queue, jobs))


def _refused_redis(call: Callable[[Any], Any]) -> Call:
    return lambda address: call(f"redis://{address}")


_MAIL = f"rq {send_mail.__module__}.send_mail"

_RQ = (
    ("enqueue", "nothing", _rq(_enqueue), seen(_MAIL), JOB),
    ("later", "nothing", _rq(_enqueue_in), seen(_MAIL), JOB),
    ("many", "nothing", _rq(_enqueue_many), seen(f"{_MAIL} (3 jobs)"), 3),
    ("group", "nothing", _rq(_enqueue_group), seen(f"{_MAIL} (2 jobs)"), 2),
    ("Redis", "redis_queue", _rq(_enqueue), seen(_MAIL), JOB),
    ("refused", "nowhere", _refused_redis(_rq(_enqueue)), seen(_MAIL), redis.ConnectionError),
)


# --- arq ----------------------------------------------------------------------------------------


def _arq(send: Callable[[Any], Any]) -> Call:
    def call(url: Any) -> Any:
        arq = pytest.importorskip("arq", reason="arq, which holds redis below 6, is not installed")

        async def run() -> Any:
            pool = (
                redis.asyncio.ConnectionPool.from_url(url)
                if url
                else fakeredis.FakeAsyncRedis().connection_pool
            )
            async with arq.ArqRedis(connection_pool=pool, default_queue_name=QUEUE) as client:
                try:
                    return await send(client)
                finally:
                    await pool.disconnect()

        return asyncio.run(run())

    return call


_jobs = itertools.count()


async def _enqueue_job(client: Any) -> Any:
    job = await client.enqueue_job("notify", 1, _job_id=f"{JOB}-{next(_jobs)}")
    return job is not None


async def _enqueue_job_twice(client: Any) -> Any:
    await client.enqueue_job("notify", 1, _job_id=JOB, _defer_by=60)
    return await client.enqueue_job("notify", 1, _job_id=JOB)


_ARQ = (
    ("enqueue", "nothing", _arq(_enqueue_job), seen("arq notify"), True),
    ("twice", "nothing", _arq(_enqueue_job_twice), seen("arq notify", "arq notify"), None),
    ("Redis", "redis_queue", _arq(_enqueue_job), seen("arq notify"), True),
    (
        "refused",
        "nowhere",
        _refused_redis(_arq(_enqueue_job)),
        seen("arq notify"),
        redis.ConnectionError,
    ),
)


# --- huey ---------------------------------------------------------------------------------------


def _huey(make: Callable[[Any], Any], send: Callable[[Any, Any], Any]) -> Call:
    def call(server: Any) -> Any:
        huey = make(server)
        try:
            return send(huey, huey.task()(send_mail))
        finally:
            if isinstance(huey, RedisHuey):
                huey.storage.close()

    return call


def _memory_huey(_server: Any) -> Any:
    return MemoryHuey(QUEUE)


def _redis_huey(url: str) -> Any:
    return RedisHuey(QUEUE, url=url)


def _call(huey: Any, task: Any) -> Any:
    task(1)
    return len(huey)


def _schedule(huey: Any, task: Any) -> Any:
    task.schedule((1,), delay=60)
    return len(huey)


def _call_group(huey: Any, task: Any) -> Any:
    huey.enqueue(huey_group([task.s(1), task.s(2)]))
    return len(huey)


_HUEY_MAIL = f"huey {send_mail.__module__}.send_mail"

_HUEY = (
    ("call", "nothing", _huey(_memory_huey, _call), seen(_HUEY_MAIL), 1),
    ("later", "nothing", _huey(_memory_huey, _schedule), seen(_HUEY_MAIL), 1),
    ("group", "nothing", _huey(_memory_huey, _call_group), seen(_HUEY_MAIL, _HUEY_MAIL), 2),
    (
        "immediate",
        "nothing",
        _huey(lambda _: MemoryHuey(QUEUE, immediate=True), lambda _, task: task(1).get()),
        seen(),
        "order 1",
    ),
    (
        "inline",
        "nothing",
        _huey(_memory_huey, lambda _, task: task.call_local(1)),
        seen(),
        "order 1",
    ),
    (
        "refused",
        "nowhere",
        _huey(lambda address: _redis_huey(f"redis://{address}"), _call),
        seen(_HUEY_MAIL),
        redis.ConnectionError,
    ),
)


# --- taskiq -------------------------------------------------------------------------------------


class _Listed(taskiq.AsyncBroker):
    """A broker that keeps the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    async def kick(self, message: Any) -> None:
        self.messages.append(message)

    async def listen(self) -> Any:
        for message in self.messages:
            yield message.message


class _Broken(_Listed):
    async def kick(self, message: Any) -> None:
        raise ConnectionRefusedError


def _taskiq(make: Callable[[], Any]) -> Call:
    def call(_server: Any) -> Any:
        async def run() -> Any:
            broker = make()

            async def notify(order: int) -> str:
                return f"order {order}"

            task = await broker.task(task_name="app.tasks:notify")(notify).kiq(1)
            if isinstance(broker, _Listed):
                return len(broker.messages)
            return (await task.wait_result(timeout=60)).return_value

        return asyncio.run(run())

    return call


_TASKIQ = (
    ("kiq", "nothing", _taskiq(_Listed), seen("taskiq app.tasks:notify"), 1),
    (
        "refused",
        "nothing",
        _taskiq(_Broken),
        seen("taskiq app.tasks:notify"),
        taskiq.SendTaskError,
    ),
    (
        "in memory",
        "nothing",
        _taskiq(lambda: taskiq.InMemoryBroker(await_inplace=True)),
        seen(),
        "order 1",
    ),
)

SITUATIONS = [
    Situation(client, name, server, call, seen_of, comes_to)
    for client, situations in (
        ("dramatiq", _DRAMATIQ),
        ("rq", _RQ),
        ("arq", _ARQ),
        ("huey", _HUEY),
        ("taskiq", _TASKIQ),
    )
    for name, server, call, seen_of, comes_to in situations
]
