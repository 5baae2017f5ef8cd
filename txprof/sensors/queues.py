"""Task queues. A task that is sent is one call, named by the task, whatever carries it.

A task that runs inline (`task()`, `.apply()`, an eager or immediate mode) is no call; what it does
is judged as anything else. Nor is one that is only put into a pipeline of the caller's own.
"""

from __future__ import annotations

from typing import Any

from txprof.sensors.cache import redis_host
from txprof.sensors.external import Described, watched, watched_coroutine
from txprof.sensors.naming import address, address_of_url, argument
from txprof.sensors.placing import Client, Target


def _task(queue: str, name: Any, host: str | None) -> Described:
    """celery app.tasks.notify"""
    return Described("queue", f"{queue} {name}", host)


# --- celery -------------------------------------------------------------------------------------


def _celery(app: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    # Of several brokers nobody knows yet which one it will be.
    url = app.conf.broker_write_url
    host = address_of_url(url) if isinstance(url, str) and ";" not in url else None
    return _task("celery", argument(args, kwargs, 0, "name"), host)


# --- dramatiq -----------------------------------------------------------------------------------


def _dramatiq(broker: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _task(
        "dramatiq", argument(args, kwargs, 0, "message").actor_name, _dramatiq_host(broker)
    )


def _dramatiq_host(broker: Any) -> str | None:
    if hasattr(broker, "client"):
        return redis_host(broker.client)
    parameters = getattr(broker, "parameters", None)  # pika's
    if isinstance(parameters, list | tuple):
        parameters = parameters[0] if len(parameters) == 1 else None
    return None if parameters is None else address(parameters.host, parameters.port)


# --- rq -----------------------------------------------------------------------------------------


def _rq_job(queue: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    if not queue.is_async or argument(args, kwargs, 1, "pipeline") is not None:
        return None
    return _rq(queue, argument(args, kwargs, 0, "job"))


def _rq_scheduled(queue: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    if argument(args, kwargs, 2, "pipeline") is not None:
        return None
    return _rq(queue, argument(args, kwargs, 0, "job"))


def _rq(queue: Any, job: Any) -> Described:
    # `func_name` would load the job's data, of one that was fetched; until then this is no string.
    name = job._func_name
    return _task("rq", name if isinstance(name, str) else queue.name, redis_host(queue.connection))


def _rq_jobs(queue: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    if not queue.is_async or argument(args, kwargs, 1, "pipeline") is not None:
        return None
    return _rq_many(queue, argument(args, kwargs, 0, "job_datas"))


def _rq_group(_group: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    queue = argument(args, kwargs, 0, "queue")
    if not queue.is_async or argument(args, kwargs, 2, "pipeline") is not None:
        return None
    return _rq_many(queue, argument(args, kwargs, 1, "job_datas"))


def _rq_many(queue: Any, jobs: Any) -> Described:
    """rq app.tasks.notify (3 jobs)"""
    if not isinstance(jobs, list | tuple):  # what can be read once is not ours to read
        return _task("rq", queue.name, redis_host(queue.connection))
    names = {_function(job.func) for job in jobs}
    name = names.pop() if len(names) == 1 else queue.name
    jobs_sent = f"({len(jobs)} job{'s' * (len(jobs) != 1)})"
    return _task("rq", f"{name} {jobs_sent}", redis_host(queue.connection))


def _function(function: Any) -> str:
    if isinstance(function, str):
        return function
    return f"{function.__module__}.{function.__qualname__}"


# --- arq, huey, taskiq --------------------------------------------------------------------------


def _arq(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _task("arq", argument(args, kwargs, 0, "function"), redis_host(client))


def _huey(huey: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    task = argument(args, kwargs, 0, "task")
    if huey.immediate or hasattr(task, "tasks"):  # each task of a group or chord is sent by itself
        return None
    connection = getattr(huey.storage, "conn", None)
    host = None if connection is None else redis_host(connection)
    return _task("huey", f"{type(task).__module__}.{task.name}", host)


def _taskiq(kicker: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described | None:
    runs_it = "taskiq.brokers.inmemory_broker"
    if any(each.__module__ == runs_it for each in type(kicker.broker).__mro__):
        return None
    return _task("taskiq", kicker.task_name, None)


CLIENTS = (
    Client(
        "celery",
        "queue",
        "celery app.tasks.notify",
        (Target("celery.app.base", "Celery.send_task", watched(_celery)),),
    ),
    Client(
        "dramatiq",
        "queue",
        "dramatiq notify",
        (
            Target("dramatiq.brokers.rabbitmq", "RabbitmqBroker.enqueue", watched(_dramatiq)),
            Target("dramatiq.brokers.redis", "RedisBroker.enqueue", watched(_dramatiq)),
            Target("dramatiq.brokers.stub", "StubBroker.enqueue", watched(_dramatiq)),
        ),
    ),
    Client(
        "rq",
        "queue",
        "rq app.tasks.notify",
        (
            Target("rq.queue", "Queue.enqueue_job", watched(_rq_job)),
            Target("rq.queue", "Queue.enqueue_many", watched(_rq_jobs)),
            Target("rq.queue", "Queue.schedule_job", watched(_rq_scheduled)),
            Target("rq.group", "Group.enqueue_many", watched(_rq_group)),
        ),
    ),
    Client(
        "arq",
        "queue",
        "arq notify",
        (Target("arq.connections", "ArqRedis.enqueue_job", watched_coroutine(_arq)),),
    ),
    Client(
        "huey",
        "queue",
        "huey app.tasks.notify",
        (Target("huey.api", "Huey.enqueue", watched(_huey)),),
    ),
    Client(
        "taskiq",
        "queue",
        "taskiq app.tasks:notify",
        (Target("taskiq.kicker", "AsyncKicker.kiq", watched_coroutine(_taskiq)),),
    ),
)
