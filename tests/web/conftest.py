"""An application of Flask and one of FastAPI under the web middleware."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine
from starlette.testclient import TestClient
from txprof_web import ASGIMiddleware, WSGIMiddleware
from web_applications import (
    SECRET,
    WORK,
    Answer,
    Get,
    Log,
    fastapi_application,
    flask_application,
)
from werkzeug.test import Client


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the application, which lives in a folder `site`."""
    package = tmp_path / "site" / "research"
    package.mkdir(parents=True, exist_ok=True)
    (package / "web_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(package)
    yield importlib.import_module("web_work")
    del sys.modules["web_work"]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def options(tmp_path: Path, log: Log) -> dict[str, Any]:
    root = tmp_path / "site"
    root.mkdir(exist_ok=True)
    return {"enabled": True, "secret": SECRET, "root": root, "log": log}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A database for requests of any thread."""
    return create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool)


@pytest.fixture(params=["flask", "fastapi"])
def serve(
    request: pytest.FixtureRequest, work: Any, engine: Engine
) -> Iterator[Callable[..., Get]]:
    """Wraps an application in the middleware; gives back what sends it a request."""
    if request.param == "flask":

        def serve(**options: Any) -> Get:
            client = Client(WSGIMiddleware(flask_application(work, engine), **options))
            return lambda url, method="GET", **headers: Answer(
                client.open(url, method=method, headers=headers, buffered=True)
            )

        yield serve
        return
    clients = []

    def serve_fastapi(**options: Any) -> Get:
        application = ASGIMiddleware(fastapi_application(work, engine), **options)
        client = TestClient(application, raise_server_exceptions=False)
        clients.append(client)
        return lambda url, method="GET", **headers: client.request(method, url, headers=headers)

    yield serve_fastapi
    for client in clients:
        client.close()
