"""What programs do with caches: Redis, a fake of it, memcached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.client.retrying import RetryingClient
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from servers import KEY
from situations import Situation

_NOWHERE = 1  # a port of loopback where nobody listens


def _sync(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(server: Any) -> Any:
        with server.client() as client:
            return call(client)

    return run


def _async(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(server: Any) -> Any:
        async def within() -> Any:
            async with server.async_client() as client:
                return await call(client)

        return asyncio.run(within())

    return run


def _error_reply(client: Any) -> Any:
    return client.execute_command("NOSUCHCOMMAND secret")


def _pipeline(client: Any) -> Any:
    with client.pipeline() as pipeline:
        return pipeline.set(KEY, "1").get(KEY).delete(KEY).execute()


def _empty_pipeline(client: Any) -> Any:
    with client.pipeline() as pipeline:
        return pipeline.execute()


def _watching_pipeline(client: Any) -> Any:
    with client.pipeline() as pipeline:
        pipeline.watch(KEY)
        pipeline.get(KEY)
        pipeline.multi()
        return pipeline.set(KEY, "1").execute()


async def _async_pipeline(client: Any) -> Any:
    async with client.pipeline() as pipeline:
        return await pipeline.set(KEY, "1").delete(KEY).execute()


async def _async_watching_pipeline(client: Any) -> Any:
    async with client.pipeline() as pipeline:
        await pipeline.watch(KEY)
        pipeline.multi()
        return await pipeline.set(KEY, "1").execute()


def _refused(_server: Any) -> Any:
    with redis.Redis(host="127.0.0.1", port=_NOWHERE, retry=Retry(NoBackoff(), 0)) as client:
        return client.get("secret")


def _async_refused(_server: Any) -> Any:
    async def run() -> Any:
        retry = AsyncRetry(NoBackoff(), 0)
        async with redis.asyncio.Redis(host="127.0.0.1", port=_NOWHERE, retry=retry) as client:
            return await client.get("secret")

    return asyncio.run(run())


def _seen(*targets: str) -> Callable[[Any], list[tuple[str, str]]]:
    return lambda _server: [("cache", target) for target in sorted(targets)]


_REDIS = (
    ("get", _sync(lambda client: client.get(KEY)), _seen("redis GET")),
    ("error reply", _sync(_error_reply), _seen("redis NOSUCHCOMMAND")),
    ("pipeline", _sync(_pipeline), _seen("redis pipeline (3 commands)")),
    ("empty pipeline", _sync(_empty_pipeline), _seen()),
    (
        "watching pipeline",
        _sync(_watching_pipeline),
        _seen("redis WATCH", "redis GET", "redis pipeline (1 command)"),
    ),
    ("asyncio get", _async(lambda client: client.get(KEY)), _seen("redis GET")),
    ("asyncio error reply", _async(_error_reply), _seen("redis NOSUCHCOMMAND")),
    ("asyncio pipeline", _async(_async_pipeline), _seen("redis pipeline (2 commands)")),
    (
        "asyncio watching pipeline",
        _async(_async_watching_pipeline),
        _seen("redis WATCH", "redis pipeline (1 command)"),
    ),
)

_ALONE = (
    ("refused", _refused, _seen("redis GET")),
    ("asyncio refused", _async_refused, _seen("redis GET")),
)


# --- memcached ----------------------------------------------------------------------------------


def _memcached(make: Callable[[Any], Any], call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(address: Any) -> Any:
        client = make(address)
        try:
            return call(client)
        finally:
            client.close()

    return run


def _plain(address: Any) -> Any:
    return Client(address, timeout=10, connect_timeout=10)


def _pooled(address: Any) -> Any:
    return PooledClient(address, timeout=10, connect_timeout=10)


def _hashed(address: Any) -> Any:
    return HashClient([address], timeout=10, connect_timeout=10)


def _retrying(address: Any) -> Any:
    return RetryingClient(_plain(address), attempts=2)


def _nowhere(address: Any) -> Any:
    return _plain((address[0], _NOWHERE))


def _retrying_nowhere(address: Any) -> Any:
    return RetryingClient(_nowhere(address), attempts=2)


def _get(client: Any) -> Any:
    return client.get("none")


def _set(client: Any) -> Any:
    return client.set("a", "1", noreply=False)


def _delete(client: Any) -> Any:
    return client.delete("a", noreply=False)


def _get_many(client: Any) -> Any:
    return client.get_many(["a", "b"])


_MEMCACHED = (
    ("get", _plain, _get, "get"),
    ("set", _plain, _set, "set"),
    ("delete", _plain, _delete, "delete"),
    ("get of many", _plain, _get_many, "get"),
    ("error reply", _plain, lambda client: client.incr("none", 1), "incr"),
    ("pool, get", _pooled, _get, "get"),
    ("hash, set", _hashed, _set, "set"),
    ("hash, get of many", _hashed, _get_many, "get"),
    ("retrying get", _retrying, _get, "get"),
    ("refused", _nowhere, _get, "get"),
    ("refused twice", _retrying_nowhere, _get, "get"),
)

SITUATIONS = [
    *(
        Situation(client, name, server, call, seen)
        for client, server in (("fakeredis", "fake_redis"), ("redis", "real_redis"))
        for name, call, seen in _REDIS
    ),
    *(Situation("redis", name, "fake_redis", call, seen) for name, call, seen in _ALONE),
    *(
        Situation(
            "pymemcache", name, "memcached", _memcached(make, call), _seen(f"memcached {word}")
        )
        for name, make, call, word in _MEMCACHED
    ),
]
