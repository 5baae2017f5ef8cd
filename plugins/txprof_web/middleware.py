"""What both kinds of middleware have in common."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import txprof
from txprof_web.files import Root
from txprof_web.guard import Guard, Permit, Request
from txprof_web.recent import Recent

logger = logging.getLogger("txprof")

PAGE = "/__txprof__"


class Middleware:
    """A web application, some of whose requests are profiled.

    Args:
        app: the WSGI or ASGI application.
        enabled: off unless true; then it costs one look at an attribute a request.
        permit: a function of a `Request` that says who may ask; under ASGI it may be `async`.
        secret: or what a request has to carry in its header `X-Txprof-Secret`, 16 characters or
            more. It is compared in constant time.
        root: the application's folder; by default the working directory. No pattern leads out.
        log: gets each report; by default it is written to stderr.
        page: where the recent requests are shown, to those who may ask; None for nowhere.
        recent: so many of them are kept, in each process.
        parameter: of the query, that asks.
        header: the header that asks.
        settings: any setting of `txprof.profile`.

    Raises:
        TypeError, ValueError: for what is not allowed, and for `enabled` with neither `permit` nor
            `secret`.
    """

    def __init__(
        self,
        app: Any,
        *,
        enabled: bool = False,
        permit: Permit | None = None,
        secret: str | None = None,
        root: str | os.PathLike[str] | None = None,
        log: Callable[[str], object] | None = None,
        page: str | None = PAGE,
        recent: int = 20,
        parameter: str = "txprof",
        header: str = "X-Txprof",
        **settings: Any,
    ) -> None:
        self.app = app
        self._guard: Guard | None = None
        if not enabled:
            return
        if page is not None and not page.startswith("/"):
            raise ValueError(f"page must be a path that begins with /, not {page!r}")
        self._guard = Guard(permit=permit, secret=secret, parameter=parameter, header=header)
        self._root = Root(root)
        self._log = _write if log is None else log
        self._page = page
        self._recent = Recent(recent)
        self._settings = {"on_finding": "ignore", **settings}
        txprof.profile(**self._settings)  # a wrong setting is told here, not at a request

    def _files(self, request: Request, patterns: list[str]) -> list[str]:
        try:
            files = self._root.files(patterns)
        except ValueError as error:
            logger.warning(
                "txprof: %s %s is not profiled: %s", request.method, _path(request), error
            )
            return []
        if not files:
            asked = ", ".join(patterns)
            logger.warning("txprof: no imported file of the application matches %r", asked)
        return files

    def _profile(self, request: Request, files: list[str]) -> Any:
        name = f"{request.method} {_path(request)}"
        return txprof.profile(*files, scope="context", name=name, **self._settings)

    def _report(
        self, request: Request, patterns: list[str], status: str, profile: txprof.Profile
    ) -> None:
        """The request is over. An error of ours must not become one of the application."""
        try:
            report = profile.render()
            self._recent.add(
                method=request.method,
                path=request.path,
                status=status,
                seconds=profile.seconds or 0.0,
                asked=", ".join(patterns),
                findings=len(profile.findings),
                report=report,
            )
            self._log(report)
        except Exception:
            logger.warning("txprof: a request's report failed", exc_info=True)


def _write(report: str) -> None:
    sys.stderr.write(report)


def _path(request: Request) -> str:
    """As it may stand in a log: one line, and not too long."""
    return "".join(each if each.isprintable() else "?" for each in request.path)[:200]
