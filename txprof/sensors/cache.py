"""Caches: Redis and memcached. The command is named; keys, values and channels are not.

A pipeline goes out as one call, when it is executed; queueing a command in it is none.
"""

from __future__ import annotations

import functools
from typing import Any

from txprof.sensors.external import Describe, Described, watched, watched_coroutine
from txprof.sensors.placing import Client, Target


def _named(server: str, command: Any, host: str | None) -> Described:
    """redis GET"""
    if isinstance(command, bytes | bytearray):
        command = command.decode("ascii", "replace")
    words = str(command).split(None, 1)  # "GET some-key" is a way to say it
    return _described(server, words[0] if words else "", host)


@functools.lru_cache(maxsize=1_024)
def _described(server: str, name: str, host: str | None) -> Described:
    if server == "redis":
        name = name.upper()
    return Described("cache", f"{server} {name}".rstrip(), host)


# --- redis --------------------------------------------------------------------------------------


def _command(client: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
    return _named("redis", args[0], redis_host(client))


def redis_host(client: Any) -> str | None:
    """The server of a client of redis, as far as it is known before it connects."""
    # A cluster has none of its own; a Sentinel's pool learns its own when it connects.
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    return f"{options['host']}:{options.get('port', 6379)}" if options.get("host") else None


def _pipeline(pipeline: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described | None:
    """redis pipeline (3 commands)"""
    commands = len(pipeline)
    if not commands and not getattr(pipeline, "watching", False):
        return None
    plural = "s" * (commands != 1)
    return Described("cache", f"redis pipeline ({commands} command{plural})", redis_host(pipeline))


# --- memcached ----------------------------------------------------------------------------------


def _memcached(position: int, name: str) -> Describe:
    def describe(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
        command = args[position] if len(args) > position else kwargs[name]
        server = getattr(client, "server", None)  # (name, port), or a socket's path
        host = ":".join(map(str, server)) if isinstance(server, tuple) else None
        return _named("memcached", command, host)

    return describe


def _retried(_client: Any, args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described | None:
    # Its methods are those of the client it retries; not all of them ask the server.
    return None if args[0] in ("check_key", "close") else _named("memcached", args[0], None)


def _memcached_method(command: str) -> Describe:
    def describe(_client: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Described:
        return _named("memcached", command, None)

    return describe


CLIENTS = (
    Client(
        "redis",
        "cache",
        "redis GET",
        (
            Target("redis.client", "Redis.execute_command", watched(_command)),
            Target("redis.client", "PubSub.execute_command", watched(_command)),
            Target("redis.client", "Pipeline.execute", watched(_pipeline)),
            # What a pipeline asks while it watches keys goes out at once.
            Target("redis.client", "Pipeline.immediate_execute_command", watched(_command)),
            Target("redis.cluster", "RedisCluster.execute_command", watched(_command)),
            Target("redis.cluster", "ClusterPipeline.execute", watched(_pipeline)),
            Target("redis.asyncio.client", "Redis.execute_command", watched_coroutine(_command)),
            Target("redis.asyncio.client", "PubSub.execute_command", watched_coroutine(_command)),
            Target("redis.asyncio.client", "Pipeline.execute", watched_coroutine(_pipeline)),
            Target(
                "redis.asyncio.client",
                "Pipeline.immediate_execute_command",
                watched_coroutine(_command),
            ),
            Target(
                "redis.asyncio.cluster", "RedisCluster.execute_command", watched_coroutine(_command)
            ),
            Target(
                "redis.asyncio.cluster", "ClusterPipeline.execute", watched_coroutine(_pipeline)
            ),
        ),
    ),
    Client(
        "pymemcache",
        "cache",
        "memcached get",
        (
            # Private: every command goes through one of the three.
            Target("pymemcache.client.base", "Client._fetch_cmd", watched(_memcached(0, "name"))),
            Target("pymemcache.client.base", "Client._store_cmd", watched(_memcached(0, "name"))),
            Target(
                "pymemcache.client.base", "Client._misc_cmd", watched(_memcached(1, "cmd_name"))
            ),
            # One call, however many servers it asks and however often.
            *(
                Target(
                    "pymemcache.client.hash",
                    f"HashClient.{method}",
                    watched(_memcached_method(name)),
                )
                for method, name in (
                    ("get_many", "get"),
                    ("set_many", "set"),
                    ("delete_many", "delete"),
                    ("flush_all", "flush_all"),
                )
            ),
            Target("pymemcache.client.hash", "HashClient._run_cmd", watched(_memcached(0, "cmd"))),
            Target("pymemcache.client.retrying", "RetryingClient._retry", watched(_retried)),
        ),
    ),
)
