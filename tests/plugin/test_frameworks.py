"""Under web frameworks: the client of a test, and a live server's thread, are the application."""

from __future__ import annotations

import pytest
from plugin_project import Project, failed

FLASK = """
import app
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

db = SQLAlchemy()

class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)

def make():
    flask = Flask("store")
    flask.config["SQLALCHEMY_DATABASE_URI"] = app.URL
    db.init_app(flask)

    @flask.before_request
    def identify():
        db.session.execute(text("SELECT 1"))

    @flask.get("/bad")
    def bad():
        app.charge()
        return "bad"

    @flask.get("/good")
    def good():
        db.session.rollback()
        app.charge()
        return "good"

    @flask.get("/quiet")
    def quiet():
        return "quiet"

    return flask
"""


def test_flask_sqlalchemy(project: Project) -> None:
    project.write(
        store=FLASK,
        conftest="""
        import pytest
        import store

        @pytest.fixture(params=["pushed", "not pushed"])
        def client(request):
            flask = store.make()
            if request.param == "not pushed":
                yield flask.test_client()
                return
            with flask.app_context():
                store.db.create_all()
                yield flask.test_client()
                store.db.session.remove()
                store.db.drop_all()
        """,
        test_it="""
        import app
        import store

        def test_bad(client):
            assert client.get("/bad").text == "bad"

        def test_good(client):
            for _ in range(7):
                client.get("/quiet")
            assert client.get("/good").text == "good"

        def test_of_the_test_good(client):
            client.get("/quiet")
            app.only_calls()
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert sorted(failed(result)) == ["test_bad[not pushed]", "test_bad[pushed]"]
    result.assert_outcomes(failed=2, passed=4)


FASTAPI = """
import asyncio
import app
from fastapi import Depends, FastAPI
from sqlmodel import Field, Session, SQLModel, create_engine, select
from sqlalchemy import text
from sqlalchemy.pool import StaticPool

class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str

engine = create_engine(
    "sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool
)
api = FastAPI()

def get_session():
    with Session(engine) as session:
        yield session

@api.get("/bad")
def bad(session=Depends(get_session)):
    session.exec(select(Hero)).all()
    app.charge()
    return "bad"

@api.get("/good")
def good(session=Depends(get_session)):
    names = [hero.name for hero in session.exec(select(Hero)).all()]
    session.commit()
    app.charge()
    return names

@api.get("/async-bad")
async def async_bad(session=Depends(get_session)):
    session.exec(select(Hero)).all()
    await asyncio.sleep(0)
    app.charge()
    return "bad"
"""


def test_fastapi_and_sqlmodel(project: Project) -> None:
    project.write(
        store=FASTAPI,
        conftest="""
        import pytest
        import store
        from fastapi.testclient import TestClient
        from sqlmodel import Session, SQLModel

        @pytest.fixture(scope="session", autouse=True)
        def disposes():
            yield
            store.engine.dispose()

        @pytest.fixture
        def session():
            SQLModel.metadata.create_all(store.engine)
            with store.engine.connect() as connection:
                outer = connection.begin()
                with Session(connection) as session:
                    session.add(store.Hero(name="Deadpond"))
                    session.commit()
                    yield session
                outer.rollback()

        @pytest.fixture
        def client(session):
            store.api.dependency_overrides[store.get_session] = lambda: session
            with TestClient(store.api) as client:
                yield client
            store.api.dependency_overrides.clear()

        @pytest.fixture
        def bare():
            SQLModel.metadata.create_all(store.engine)
            return TestClient(store.api)
        """,
        test_it="""
        import pytest

        @pytest.mark.parametrize("path", ["bad", "async-bad"])
        def test_overridden_bad(client, path):
            assert client.get(f"/{path}").json() == "bad"

        @pytest.mark.parametrize("path", ["bad", "async-bad"])
        def test_bare_bad(bare, path):
            assert bare.get(f"/{path}").json() == "bad"

        def test_good(client):
            for _ in range(7):
                assert client.get("/good").json() == ["Deadpond"]

        def test_bare_good(bare):
            for _ in range(7):
                assert bare.get("/good").json() == []
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert sorted(failed(result)) == [
        "test_bare_bad[async-bad]",
        "test_bare_bad[bad]",
        "test_overridden_bad[async-bad]",
        "test_overridden_bad[bad]",
    ]
    result.assert_outcomes(failed=4, passed=2)


SERVERS = """
import contextlib
import os
import socket
import threading
import app
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

engine = create_engine(os.environ.get("APP_URL", "sqlite:///live.db"))

def work(name):
    with Session(engine) as session:
        getattr(app, name)(session)

@contextlib.contextmanager
def running(serve, stop):
    thread = threading.Thread(target=serve)
    thread.start()
    yield
    stop()
    thread.join()

@contextlib.contextmanager
def http_server():
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            work(self.path[1:])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        with running(server.serve_forever, server.shutdown):
            yield server.server_port

@contextlib.contextmanager
def werkzeug():
    from flask import Flask
    from werkzeug.serving import make_server

    flask = Flask("store")

    @flask.get("/<name>")
    def answer(name):
        work(name)
        return ""

    with make_server("127.0.0.1", 0, flask, threaded=True) as server:
        with running(server.serve_forever, server.shutdown):
            yield server.server_port

@contextlib.contextmanager
def uvicorn():
    import uvicorn
    from fastapi import FastAPI

    api = FastAPI()

    @api.get("/sync/{name}")
    def answer(name):
        work(name)

    @api.get("/{name}")
    async def answer_async(name):
        work(name)

    server = uvicorn.Server(uvicorn.Config(api, log_level="error", ws="none"))

    def stop():
        server.should_exit = True

    # One that listens already: who asks before the server has started waits for it.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with running(lambda: server.run([listening]), stop):
            yield listening.getsockname()[1]
"""


@pytest.mark.parametrize(
    ("server", "prefix"),
    [("http_server", ""), ("werkzeug", ""), ("uvicorn", ""), ("uvicorn", "sync/")],
)
def test_a_live_servers_thread_is_the_application(
    project: Project, server: str, prefix: str
) -> None:
    project.write(
        live=SERVERS,
        conftest=f"""
        import pytest
        import live
        import urllib.request

        @pytest.fixture(scope="session")
        def get():
            with live.{server}() as port:
                url = f"http://127.0.0.1:{{port}}/{prefix}"
                yield lambda path: urllib.request.urlopen(url + path, timeout=60).close()
            live.engine.dispose()
        """,
        test_it="""
        def test_bad(get):
            get("process")

        def test_often_bad(get):
            get("asks_often")

        def test_good(get):
            for _ in range(7):
                get("split")
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_bad", "test_often_bad"]
    result.assert_outcomes(failed=2, passed=1)
