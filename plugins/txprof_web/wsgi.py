"""The middleware for WSGI: Flask, Django, Pyramid, Bottle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Any

import txprof
from txprof_web.guard import Guard, Request
from txprof_web.middleware import Middleware
from txprof_web.recent import HEADERS

Environ = dict[str, Any]

_ASYNC = "permit must not be async under WSGI: who may ask is asked there"


class WSGIMiddleware(Middleware):
    __doc__ = Middleware.__doc__

    def __init__(self, app: Any, **options: Any) -> None:
        if iscoroutinefunction(options.get("permit")):
            raise TypeError(_ASYNC)
        super().__init__(app, **options)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        guard = self._guard
        if guard is None:
            return self.app(environ, start_response)  # type: ignore[no-any-return]
        if environ.get("PATH_INFO") == self._page and self._page is not None:
            request = _request(environ)
            if _may(guard, request):
                return self._show(request, start_response)
        elif guard.may_ask(environ.get("QUERY_STRING", ""), environ.get(guard.environ_name)):
            request = _request(environ)
            patterns = guard.patterns(request)
            if patterns and _may(guard, request):
                files = self._files(request, patterns)
                if files:
                    return self._profiled(environ, start_response, request, patterns, files)
        if txprof.is_active():
            return _Watched(txprof.entry(), None).call(self.app, environ, start_response)
        return self.app(environ, start_response)  # type: ignore[no-any-return]

    def _show(self, request: Request, start_response: Any) -> list[bytes]:
        if request.method not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return []
        page = self._recent.page()
        start_response("200 OK", [*HEADERS, ("Content-Length", str(len(page)))])
        return [page] if request.method == "GET" else []

    def _profiled(
        self,
        environ: Environ,
        start_response: Any,
        request: Request,
        patterns: list[str],
        files: list[str],
    ) -> Iterable[bytes]:
        sent = ["-"]

        def note_status(status: str, *rest: Any, **keywords: Any) -> Any:
            sent[0] = status
            return start_response(status, *rest, **keywords)

        def done(profile: txprof.Profile) -> None:
            self._report(request, patterns, sent[0], profile)

        block = self._profile(request, files)
        return _Watched(block, done).call(self.app, environ, note_status)


class _Watched:
    """A request within a block: from the call to the end of its body, and there alone.

    It runs in a context of its own. The server may iterate the body, and close it, from wherever
    it likes, and do other work in between.
    """

    def __init__(self, block: Any, done: Callable[[txprof.Profile], None] | None) -> None:
        self._block = block
        self._done = done
        self._context: Context = copy_context()
        self._profile: Any = None
        self._is_over = False

    def call(self, app: Any, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self._profile = self._context.run(self._block.__enter__)
        try:
            body: Iterable[bytes] = self._context.run(app, environ, start_response)
        except BaseException:
            self.end()
            raise
        # A whole body, or one that the server knows how to send: nothing of the program runs on.
        wrapper = environ.get("wsgi.file_wrapper")
        is_file = isinstance(wrapper, type) and isinstance(body, wrapper)
        if isinstance(body, list | tuple) or is_file:
            self.end()
            return body
        return _Body(body, self._context, self.end)

    def end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._context.run(self._block.__exit__, None, None, None)
        if self._done is not None:
            self._done(self._profile)


class _Body:
    """A body that is made while it is sent."""

    def __init__(self, body: Iterable[bytes], context: Context, end: Callable[[], None]) -> None:
        self._body = body
        self._context = context
        self._end = end
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        if self._iterator is None:
            self._iterator = self._context.run(iter, self._body)
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = self._context.run(iter, self._body)
        return self._context.run(next, self._iterator)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                self._context.run(close)
        finally:
            self._end()


def _may(guard: Guard, request: Request) -> bool:
    if guard.knows(request):
        return True
    permitted = guard.permits(request)
    if isawaitable(permitted):  # of a permit that did not look async: no answer, and no yes
        if iscoroutine(permitted):
            permitted.close()
        guard.failed(TypeError(_ASYNC))
        return False
    return bool(permitted)


def _request(environ: Environ) -> Request:
    headers = {
        name[5:].replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return Request(
        method=environ.get("REQUEST_METHOD", "GET"),
        path=environ.get("PATH_INFO", ""),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
        client=environ.get("REMOTE_ADDR"),
        raw=environ,
    )
