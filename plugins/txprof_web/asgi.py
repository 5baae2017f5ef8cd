"""The middleware for ASGI: FastAPI, Starlette, Litestar, Quart, Django."""

from __future__ import annotations

import asyncio
import functools
from inspect import isawaitable
from typing import Any

import txprof
from txprof_web.guard import Guard, Request
from txprof_web.middleware import Middleware
from txprof_web.recent import HEADERS


class ASGIMiddleware(Middleware):
    __doc__ = Middleware.__doc__

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        guard = self._guard
        if guard is None or scope["type"] != "http":  # websockets, and the application's lifespan
            await self.app(scope, receive, send)
            return
        query = scope.get("query_string", b"").decode("latin-1")
        if scope["path"] == self._page:
            request = _request(scope, query)
            if await _may(guard, request):
                await self._show(request, send)
                return
        elif guard.may_ask(query, _header(scope, guard.header)):
            request = _request(scope, query)
            patterns = guard.patterns(request)
            if patterns and await _may(guard, request):
                files = self._files(request, patterns)
                if files:
                    await self._profiled(scope, receive, send, request, patterns, files)
                    return
        if txprof.is_active():
            with txprof.entry():
                await self.app(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _show(self, request: Request, send: Any) -> None:
        headers, page, status = HEADERS, self._recent.page(), 200
        if request.method not in ("GET", "HEAD"):
            headers, page, status = [("Allow", "GET, HEAD")], b"", 405
        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        raw.append((b"content-length", str(len(page)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": raw})
        body = page if request.method == "GET" else b""
        await send({"type": "http.response.body", "body": body})

    async def _profiled(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        request: Request,
        patterns: list[str],
        files: list[str],
    ) -> None:
        status = "-"

        async def note_status(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        block = self._profile(request, files)
        profile = await block.__aenter__()
        try:
            await self.app(scope, receive, note_status)
        finally:
            await block.__aexit__(None, None, None)
            # Not on the thread of the event loop: the others go on meanwhile.
            report = functools.partial(self._report, request, patterns, status, profile)
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # another one's, such as trio's
                report()
            else:
                await loop.run_in_executor(None, report)


async def _may(guard: Guard, request: Request) -> bool:
    if guard.knows(request):
        return True
    permitted = guard.permits(request)
    if isawaitable(permitted):
        try:
            permitted = await permitted
        except Exception as error:
            guard.failed(error)
            return False
    return bool(permitted)


def _header(scope: Any, wanted: str) -> str | None:
    name = wanted.encode()
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


def _request(scope: Any, query: str) -> Request:
    client = scope.get("client")
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=query,
        headers={key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]},
        client=client[0] if client else None,
        raw=scope,
    )
