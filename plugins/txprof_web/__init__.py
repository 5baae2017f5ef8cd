"""txprof for web applications: line-profile one request by asking for it.

`GET /products/7?txprof=app/research/*.py`, or the header `X-Txprof: app/research/*.py`, from
somebody who may ask, line-profiles the matching files of the application for that request alone,
and logs the report. `/__txprof__` shows the latest ones.

    app = txprof_web.WSGIMiddleware(app, enabled=True, secret=os.environ["TXPROF_SECRET"])
    app.add_middleware(txprof_web.ASGIMiddleware, enabled=settings.debug, permit=is_staff)

Every request is one entry for whatever else profiles the process, such as `txprof run`: what each
of many requests runs once is not repeated.

PYTEST_DONT_REWRITE: see `txprof`.
"""

from __future__ import annotations

from txprof_web.asgi import ASGIMiddleware
from txprof_web.guard import Request
from txprof_web.wsgi import WSGIMiddleware

__all__ = ["ASGIMiddleware", "Request", "WSGIMiddleware"]
