"""The suite's own transactions are none of the application's; what it opens inside them is."""

from __future__ import annotations

import pytest
from plugin_project import Project, failed

OUTER = """
import app
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

MODES = ["create_savepoint", "conditional_savepoint", "rollback_only"]

def outer(scope):
    @pytest.fixture(scope=scope, name=f"{scope}_connection")
    def connection():
        engine = create_engine(app.URL)
        with engine.connect() as connection:
            transaction = connection.begin()
            connection.execute(text("SELECT 1"))
            yield connection
            transaction.rollback()
        engine.dispose()
    return connection

function_scope, class_scope, module_scope, package_scope, session_scope = map(
    outer, ["function", "class", "module", "package", "session"]
)
SCOPES = ["function", "class", "module", "package", "session"]

@pytest.fixture(params=SCOPES)
def connection(request):
    return request.getfixturevalue(f"{request.param}_connection")
"""


def test_an_outer_transaction_of_any_scope_is_the_suites(project: Project, app_url: str) -> None:
    project.write(
        conftest=OUTER,
        test_it="""
        import app
        import pytest
        from conftest import MODES
        from sqlalchemy.orm import Session

        def test_code_that_opens_none_may_call(connection):
            app.only_calls()

        @pytest.mark.parametrize("mode", MODES)
        def test_it_opens_its_own(connection, mode):
            with Session(connection, join_transaction_mode=mode) as session:
                app.process(session)

        @pytest.mark.parametrize("mode", MODES)
        def test_it_closes_its_own_before_it_calls(connection, mode):
            with Session(connection, join_transaction_mode=mode) as session:
                app.split(session)
                app.split(session)

        def test_core_alone_opens_a_savepoint(connection):
            app.nested(connection)
            app.only_calls()

        def test_core_alone_uses_what_is_open(connection):
            app.ask(connection, 1)
            app.only_calls()
        """,
    )
    result = project.run_here("--txprof", "-q")
    found = failed(result)
    assert len([name for name in found if name.startswith("test_it_opens_its_own")]) == 15, found
    assert len([name for name in found if name.startswith("test_core_alone_opens")]) == 5
    result.assert_outcomes(failed=20, passed=25)
    assert all("io-in-transaction app.py:" in message for message in found.values())


CLASSIC = """
import app
import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

@pytest.fixture(scope="session")
def engine():
    engine = create_engine(app.URL)
    yield engine
    engine.dispose()

@pytest.fixture
def session(engine):
    '''The recipe of SQLAlchemy 1.x: a savepoint that a listener opens again.'''
    connection = engine.connect()
    outer = connection.begin()
    session = Session(connection)
    session.begin_nested()
    session.execute(text("SELECT 1"))

    @event.listens_for(session, "after_transaction_end")
    def restart(session, transaction):
        if transaction.nested and not transaction._parent.nested:
            session.begin_nested()

    session.commit()
    yield session
    session.close()
    outer.rollback()
    connection.close()

@pytest.fixture
def reading(engine):
    '''Leaves a read transaction open.'''
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        yield session

@pytest.fixture
def other(engine):
    '''A second, unrelated connection in the same thread.'''
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        yield connection
"""


def test_fixtures_as_they_are_in_real_suites(project: Project, app_url: str) -> None:
    project.write(
        conftest=CLASSIC,
        test_it="""
        import app
        from sqlalchemy import text
        from sqlalchemy.orm import Session

        def test_restarted_bad(session):
            app.process(session)

        def test_restarted_good(session):
            app.split(session)
            app.only_calls()

        def test_read_transaction_left_open_good(reading):
            app.only_calls()

        def test_read_transaction_left_open_then_its_own_bad(reading):
            reading.commit()
            app.process(reading)

        def test_unrelated_connection_good(other, engine):
            with Session(engine) as session:
                app.split(session)

        def test_own_connection_of_the_test_good(engine):
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                app.only_calls()

        def test_connection_of_the_test_that_the_application_uses_bad(engine):
            with Session(engine) as session:
                session.execute(text("SELECT 1"))
                app.process(session)

        def test_what_the_test_does_itself_good(engine):
            with engine.begin() as connection:
                connection.execute(text("SELECT 1"))
                with app.txprof.external_call("http", "GET https://example.com/"):
                    pass
        """,
    )
    result = project.run_here("--txprof", "-q")
    found = failed(result)
    assert sorted(found) == [
        "test_connection_of_the_test_that_the_application_uses_bad",
        "test_read_transaction_left_open_then_its_own_bad",
        "test_restarted_bad",
    ]
    result.assert_outcomes(failed=3, passed=5)


def test_two_engines_and_two_sessions(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import pytest
        from sqlalchemy import create_engine, text
        from sqlalchemy.orm import Session

        @pytest.fixture
        def sessions():
            made = []
            for _ in range(2):
                engine = create_engine("sqlite://")
                connection = engine.connect()
                connection.begin()
                connection.execute(text("SELECT 1"))
                made.append(Session(connection))
            yield made
            for session in made:
                session.close()
                session.bind.close()
                session.bind.engine.dispose()

        def test_good(sessions):
            for session in sessions:
                app.split(session)

        def test_bad(sessions):
            first, second = sessions
            app.ask(first, 1)
            app.process(second)

        def test_another_visit_left_it_open_good(sessions):
            first, second = sessions
            app.ask(first, 1)
            app.split(second)
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_bad"]
    result.assert_outcomes(failed=1, passed=2)


@pytest.mark.parametrize("where", ["before", "after"])
def test_set_up_and_tear_down_do_not_count(project: Project, where: str) -> None:
    bad = "app.process(Session(engine))"
    before, after = (bad, "pass") if where == "before" else ("pass", bad)
    project.write(
        test_it=f"""
        import app
        import pytest
        import unittest
        from sqlalchemy import create_engine
        from sqlalchemy.orm import Session
        from sqlalchemy.pool import StaticPool

        engine = create_engine("sqlite://")

        def teardown_module():
            engine.dispose()

        @pytest.fixture
        def product():
            {before}
            yield
            {after}

        @pytest.fixture
        def late():
            {before}

        @pytest.fixture
        def make():
            def make():
                app.process(Session(engine))
            return make

        def test_fixture(product):
            pass

        def test_fixture_that_the_test_asks_for(request):
            request.getfixturevalue("late")

        class TestXunit:
            def setup_method(self):
                {before}
            def teardown_method(self):
                {after}
            def test_xunit(self):
                pass

        class TestUnittest(unittest.TestCase):
            def setUp(self):
                {before}
                self.session = Session(engine)
                app.ask(self.session, 1)
            def tearDown(self):
                {after}
                self.session.close()
            def test_unittest(self):
                app.only_calls()
            def test_unittest_bad(self):
                app.process(self.session)
                self.session.close()
                app.process(self.session)

        class TestAsyncUnittest(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                {before}
            async def asyncTearDown(self):
                {after}
            async def test_async_unittest(self):
                pass
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_unittest_bad"]
    result.assert_outcomes(failed=1, passed=5)
