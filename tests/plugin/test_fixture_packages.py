"""Fixtures that packages bring: what they have open is the suite's too."""

from __future__ import annotations

import os

import pytest
from plugin_project import Project, failed
from sqlalchemy import make_url

PLUGIN = """
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

@pytest.fixture
def outer(engine):
    connection = engine.connect()
    outer = connection.begin()
    yield connection
    outer.rollback()
    connection.close()

@pytest.fixture
def db_session(outer):
    '''As in pytest-flask-sqlalchemy, whose last release does not run on SQLAlchemy 2.'''
    with Session(outer) as session:
        session.begin_nested()

        @event.listens_for(session, "after_transaction_end")
        def restart_savepoint(session, transaction):
            if transaction.nested and not transaction._parent.nested:
                session.expire_all()
                session.begin_nested()

        yield session

@pytest.fixture
def classic_session(outer):
    '''The recipe of SQLAlchemy 1.4.'''
    nested = outer.begin_nested()
    with Session(outer) as session:

        @event.listens_for(session, "after_transaction_end")
        def restart_savepoint(session, transaction):
            nonlocal nested
            if not nested.is_active:
                nested = outer.begin_nested()

        yield session
"""


def test_savepoints_that_an_installed_plugin_opens_again(
    project: Project, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = project.folder / "site-packages"
    monkeypatch.setenv("PYTHONPATH", f"{project.folder}{os.pathsep}{installed}")
    project.write(
        **{"site-packages__pytest_of_ours": PLUGIN},
        test_it="""
        import app
        import pytest

        @pytest.fixture(params=["db_session", "classic_session"])
        def session(request):
            return request.getfixturevalue(request.param)

        def test_bad(session):
            app.process(session)

        def test_nested_bad(session):
            app.nested(session)

        def test_good(session):
            app.split(session)
            app.split(session)

        def test_opened_again_good(session):
            app.ask(session, 1)
            session.commit()
            app.only_calls()
        """,
    )
    result = project.run("--txprof", "-q", "-p", "pytest_of_ours")
    assert sorted(failed(result)) == [
        "test_bad[classic_session]",
        "test_bad[db_session]",
        "test_nested_bad[classic_session]",
        "test_nested_bad[db_session]",
    ]
    result.assert_outcomes(failed=4, passed=4)


def test_pytest_sqlalchemy_mock(project: Project, app_url: str) -> None:
    project.write(
        models="""
        from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

        class Base(DeclarativeBase):
            pass

        class Product(Base):
            __tablename__ = "mocked_product"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str]
        """,
        conftest="""
        import app
        import pytest
        from models import Base

        @pytest.fixture(scope="session")
        def connection_url():
            return app.URL

        @pytest.fixture
        def sqlalchemy_declarative_base(engine):
            yield Base
            engine.dispose()

        @pytest.fixture
        def sqlalchemy_mock_config():
            return [("mocked_product", [{"id": n, "name": f"name {n}"} for n in range(3)])]
        """,
        test_it="""
        import app
        from models import Product

        def test_bad(session):
            app.process(session)

        def test_after_the_mocked_rows_bad(mocked_session):
            assert app.ask(mocked_session, 1) == 1
            mocked_session.rollback()
            app.process(mocked_session)

        def test_good(session):
            app.split(session)
            app.split(session)

        def test_the_mocked_rows_are_the_suites_good(mocked_session):
            assert mocked_session.query(Product).count() == 3
            app.only_calls()

        def test_its_connection_is_the_suites_good(connection):
            app.only_calls()
            connection.close()
        """,
    )
    result = project.run("--txprof", "-q", plugins=("sqlalchemy_mock",))
    assert sorted(failed(result)) == ["test_after_the_mocked_rows_bad", "test_bad"]
    result.assert_outcomes(failed=2, passed=3)


def test_pytest_postgresql(project: Project, postgresql_url: str) -> None:
    url = make_url(postgresql_url)
    host = url.query.get("host", url.host)
    project.ini(
        f"postgresql_host = {host}",
        f"postgresql_port = {url.port or 5432}",
        f"postgresql_user = {url.username}",
    )
    project.write(
        conftest="""
        import pytest
        from pytest_postgresql import factories
        from sqlalchemy import URL, create_engine, text
        from sqlalchemy.orm import Session
        from sqlalchemy.pool import NullPool

        postgresql = factories.postgresql("postgresql_noproc")

        @pytest.fixture
        def engine(postgresql):
            info = postgresql.info
            query = {"host": info.host, "port": str(info.port)}
            url = URL.create("postgresql+psycopg", info.user, database=info.dbname, query=query)
            engine = create_engine(url, poolclass=NullPool)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE product (id INTEGER)"))
            return engine

        @pytest.fixture
        def session(engine):
            with Session(engine) as session:
                session.execute(text("INSERT INTO product VALUES (1)"))
                session.commit()
                yield session

        @pytest.fixture
        def uncommitted(session):
            session.execute(text("INSERT INTO product VALUES (2)"))
            return session

        @pytest.fixture
        def on_its_own_connection(postgresql):
            engine = create_engine("postgresql+psycopg://", creator=lambda: postgresql)
            with Session(engine) as session:
                yield session
        """,
        test_it="""
        import app
        import pytest
        from sqlalchemy import text

        @pytest.mark.parametrize("fixture", ["session", "on_its_own_connection"])
        def test_bad(request, fixture):
            app.process(request.getfixturevalue(fixture))

        @pytest.mark.parametrize("fixture", ["session", "on_its_own_connection"])
        def test_good(request, fixture):
            app.split(request.getfixturevalue(fixture))

        def test_what_the_fixture_left_open_good(uncommitted):
            app.only_calls()

        def test_its_own_connection_good(postgresql):
            postgresql.execute("SELECT 1")
            app.only_calls()
        """,
    )
    result = project.run("--txprof", "-q", plugins=("postgresql",))
    assert sorted(failed(result)) == ["test_bad[on_its_own_connection]", "test_bad[session]"]
    result.assert_outcomes(failed=2, passed=4)


def test_what_a_factory_asks_of_the_suite_is_the_suites(project: Project) -> None:
    """factory_boy's `lazy_attribute` calls functions of the suite, once for each object made."""
    project.write(
        **{
            "site-packages__factory": """
            def create_batch(number, lazy):
                return [lazy() for _ in range(number)]
            """
        },
        tests__factories="""
        import sys
        from pathlib import Path
        sys.path.insert(0, str(Path(__file__).parents[1] / "site-packages"))
        import app
        import factory
        from sqlalchemy import text

        def orders(session, number):
            def next_number():
                return session.scalar(text("SELECT 1"))
            return factory.create_batch(number, next_number)

        def ask(session, number):
            return factory.create_batch(number, lambda: app.ask(session, 1))
        """,
        tests__test_it="""
        import app
        import factories

        def test_orders(session):
            factories.orders(session, 7)
            factories.ask(session, 7)

        def test_the_application(session):
            app.asks_often(session)
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_the_application"]
