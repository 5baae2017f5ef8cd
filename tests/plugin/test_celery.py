"""Celery's tasks are the application, wherever a suite lets them run."""

from __future__ import annotations

import pytest
from plugin_project import Project, failed

JOBS = """
import app
from celery import shared_task
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

engine = create_engine(app.URL)

@shared_task
def bad():
    with Session(engine) as session:
        app.process(session)

@shared_task
def good():
    with Session(engine) as session:
        app.split(session)
    return "good"

@shared_task
def often():
    with Session(engine) as session:
        app.asks_often(session)

@shared_task
def charge():
    app.charge()

def places_in_a_transaction(session):
    app.ask(session, 1)
    charge.delay()
    session.commit()

def places_after_it(session):
    app.ask(session, 1)
    session.commit()
    charge.delay()
"""
TESTS = """
import app
import jobs
import pytest

pytestmark = pytest.mark.usefixtures({fixtures})

def test_bad():
    jobs.bad.delay().get(timeout=60)

def test_often_bad():
    jobs.often.delay().get(timeout=60)

def test_good():
    for _ in range(7):
        assert jobs.good.delay().get(timeout=60) == "good"

def test_places_bad(session):
    jobs.places_in_a_transaction(session)

def test_places_good(session):
    jobs.places_after_it(session)

def test_places_itself_good(session):
    app.ask(session, 1)
    jobs.good.delay().get(timeout=60)
"""
CONFTEST = """
import app
import jobs
import pytest
from sqlalchemy.orm import Session

pytest_plugins = ("celery.contrib.pytest",)

@pytest.fixture(scope="session")
def celery_config():
    return {
        "broker_url": "memory://",
        "result_backend": "cache+memory://",
        "task_always_eager": EAGER,
    }

@pytest.fixture
def session():
    with Session(jobs.engine) as session:
        yield session

@pytest.fixture(scope="session", autouse=True)
def disposes():
    yield
    jobs.engine.dispose()
"""


@pytest.mark.parametrize(
    ("eager", "fixtures", "mixes"),
    [
        pytest.param(
            "True", '"celery_app", "depends_on_current_app"', "api.example.com", id="eager"
        ),
        pytest.param(
            "False",
            '"celery_session_app", "celery_session_worker"',
            "celery jobs.charge",
            id="a worker's thread",
        ),
    ],
)
def test_a_task(project: Project, app_url: str, eager: str, fixtures: str, mixes: str) -> None:
    project.write(
        jobs=JOBS,
        conftest=CONFTEST.replace("EAGER", eager),
        test_it=TESTS.format(fixtures=fixtures),
    )
    result = project.run("--txprof", "-q")
    found = failed(result)
    assert sorted(found) == ["test_bad", "test_often_bad", "test_places_bad"]
    assert mixes in found["test_places_bad"]
    result.assert_outcomes(failed=3, passed=3)
