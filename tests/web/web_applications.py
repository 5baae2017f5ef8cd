"""Applications under the web middleware, and how tests ask them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import fastapi
import flask
from sqlalchemy import Engine
from starlette.websockets import WebSocket

SECRET = "correct horse battery"
ALLOWED = {"X-Txprof-Secret": SECRET}

WORK = """
from sqlalchemy import text
import txprof

def handle(engine, number):
    total = 0
    for _ in range(number):
        total += step()
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", f"billing-{number}"):
            pass
    return total

def step():
    return 1

def make_view():
    def view(number):
        return number + step()
    return view

view = make_view()
"""

Get = Callable[..., Any]
"""(url, **headers) -> a response with `status_code`, `text` and `headers`."""


class Log:
    """Collects the reports."""

    def __init__(self) -> None:
        self.reports: list[str] = []

    def __call__(self, report: str) -> None:
        self.reports.append(report)


def flask_application(work: Any, engine: Engine) -> Any:
    application = flask.Flask("shop")

    @application.get("/handle/<int:number>")
    def handle(number: int) -> str:
        return str(work.handle(engine, number))

    @application.get("/fail")
    def fail() -> str:
        work.step()
        raise ZeroDivisionError

    @application.get("/stream")
    def stream() -> flask.Response:
        return flask.Response(str(work.step()) for _ in range(3))

    return application


def fastapi_application(work: Any, engine: Engine) -> Any:
    application = fastapi.FastAPI()

    @application.get("/handle/{number}")
    def handle(number: int) -> int:
        return int(work.handle(engine, number))

    @application.get("/fail")
    async def fail() -> str:
        work.step()
        raise ZeroDivisionError

    @application.get("/stream")
    async def stream() -> fastapi.responses.StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for _ in range(3):
                await asyncio.sleep(0)
                yield str(work.step())

        return fastapi.responses.StreamingResponse(body())

    @application.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        work.step()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return application


class Answer:
    """What Flask answered, under the names that httpx has for it."""

    def __init__(self, answer: Any) -> None:
        self.status_code = answer.status_code
        self.text = answer.get_data(as_text=True)
        self.headers = answer.headers
