"""What the web middleware adds to a request that it does not profile, in microseconds.

An application that answers at once is called bare, behind a middleware that looks one thing up in
the request and passes it on, behind txprof's while that is off, and while it is enabled and the
request does not ask. Budget: off, it costs no more than that one look-up does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness import (
    Samples,
    Table,
    Variant,
    arguments,
    measure,
    micros,
    micros_added,
    publish,
    times,
)
from txprof_web import ASGIMiddleware, WSGIMiddleware

BUDGET = 1.05
"""Calls with it beside calls with the look-up: as many, and what cannot be told from as many."""

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/products/7", "QUERY_STRING": "page=2"}
SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/products/7",
    "query_string": b"page=2",
    "headers": [(b"host", b"shop.example"), (b"accept", b"*/*"), (b"user-agent", b"benchmark")],
}
ENABLED = {"enabled": True, "secret": "sixteen characters", "log": lambda _report: None}


def wsgi_app(_environ: Any, _start_response: Any) -> Iterable[bytes]:
    return [b""]


async def asgi_app(_scope: Any, _receive: Any, _send: Any) -> None:
    return None


class WSGILookUp:
    """The least that a middleware does which may be asked for something."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("HTTP_X_TXPROF") is not None:
            raise AssertionError
        return self.app(environ, start_response)


class ASGILookUp:
    """The same for ASGI."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope.get("txprof") is not None:
            raise AssertionError
        await self.app(scope, receive, send)


def wsgi(app: Any) -> Callable[[int], None]:
    """So many requests of it."""

    def run(count: int) -> None:
        for _ in range(count):
            app(ENVIRON, None)

    return run


def asgi(app: Any) -> Callable[[int], None]:
    """So many requests, without an event loop: nothing waits."""

    def run(count: int) -> None:
        for _ in range(count):
            try:
                app(SCOPE, None, None).send(None)
            except StopIteration:
                pass

    return run


def variants(
    of: Callable[[Any], Callable[[int], None]], app: Any, look_up: Any, ours: Any
) -> list[Variant]:
    return [
        Variant("bare", of(app)),
        Variant("look-up", of(look_up(app))),
        Variant("off", of(ours(app))),
        Variant("not asked", of(ours(app, **ENABLED))),
    ]


def main() -> None:
    options = arguments(__doc__)
    rows = measure(
        {
            "WSGI": variants(wsgi, wsgi_app, WSGILookUp, WSGIMiddleware),
            "ASGI": variants(asgi, asgi_app, ASGILookUp, ASGIMiddleware),
        },
        turns=1 if options.quick else 60,
    )
    publish(table_of(rows), options)


def table_of(rows: dict[str, Samples]) -> Table:
    table = Table(
        "Microseconds added to a request that is not profiled",
        *("what", "bare", "one look-up", "enabled, not asked", "off", "spread", "that is"),
        *("budget", "verdict"),
    )

    def beside_a_look_up(found: Samples) -> float:
        return found.ratio("off", "look-up")

    for what, samples in rows.items():
        table.add(
            what,
            micros(samples.figure("bare"), 3),
            micros_added(samples.added("look-up"), 3),
            micros_added(samples.added("not asked"), 3),
            micros_added(samples.added("off"), 3),
            "±" + micros(samples.spread("off"), 3),
            times(beside_a_look_up(samples), "a look-up"),
            times(BUDGET, "a look-up"),
            table.judge(
                samples.judged("web", f"{what}, off", beside_a_look_up, BUDGET, "x a look-up")
            ),
        )
    table.note("of the whole call, with the application's own; each middleware is one call more")
    return table


if __name__ == "__main__":
    main()
