"""Of a unittest its method is the test's call, and nothing around it."""

from __future__ import annotations

from plugin_project import Project, failed

INSTALLED = """
import sys
sys.path.append(__file__.replace("conftest.py", "site-packages"))
"""


def test_cleanups_are_no_part_of_the_call(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import unittest
        from sqlalchemy import create_engine
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite://")

        def teardown_module():
            engine.dispose()

        class TestCleanup(unittest.TestCase):
            def setUp(self):
                self.session = Session(engine)
                self.addCleanup(self.session.close)
                self.addCleanup(self.clean)
                self.addCleanup(app.process, self.session)

            def clean(self):
                for number in range(7):
                    app.ask(self.session, number)
                app.charge()

            def test_good(self):
                app.only_calls()

            def test_bad(self):
                app.process(self.session)

        class TestAsyncCleanup(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.engine = create_async_engine("sqlite+aiosqlite://")
                self.session = AsyncSession(self.engine)
                self.addAsyncCleanup(self.engine.dispose)
                self.addAsyncCleanup(self.session.close)
                self.addAsyncCleanup(self.clean)

            async def clean(self):
                for number in range(7):
                    await self.session.run_sync(app.ask, number)
                app.charge()

            async def test_async_good(self):
                app.only_calls()

            async def test_async_bad(self):
                await self.session.run_sync(app.process)
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_bad", "test_async_bad"]
    result.assert_outcomes(failed=2, passed=2)


def test_what_a_class_does_around_its_set_up(project: Project) -> None:
    """Django and Flask-Testing call the suite from `__call__`, and it calls the application."""
    project.write(
        **{
            "site-packages__flask_testing": """
            import unittest

            class TestCase(unittest.TestCase):
                def __call__(self, result=None):
                    self._pre_setup()
                    try:
                        super().__call__(result)
                    finally:
                        self._post_teardown()

                def _pre_setup(self):
                    self.session = self.create_session()

                def _post_teardown(self):
                    self.drop_session()
            """
        },
        conftest=INSTALLED,
        test_it="""
        import app
        import flask_testing
        import unittest
        from sqlalchemy import create_engine
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite://")

        def teardown_module():
            engine.dispose()

        class TestByLibrary(flask_testing.TestCase):
            def create_session(self):
                session = Session(engine)
                app.asks_often(session)
                app.charge()
                return session

            def drop_session(self):
                app.process(self.session)
                self.session.close()

            def test_library_good(self):
                app.split(self.session)

            def test_library_bad(self):
                self.session.commit()
                app.process(self.session)

        class TestByItself(unittest.TestCase):
            def __call__(self, result=None):
                with engine.connect() as self.connection:
                    self.outer = self.connection.begin()
                    self.savepoint = self.connection.begin_nested()
                    self.enter()
                    super().__call__(result)

            def enter(self):
                self.session = Session(self.connection, join_transaction_mode="create_savepoint")
                app.ask(self.session, 1)
                app.charge()

            def test_own_good(self):
                app.split(self.session)

            def test_own_bad(self):
                self.session.commit()
                app.process(self.session)
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert list(failed(result)) == ["test_library_bad", "test_own_bad"]
    result.assert_outcomes(failed=2, passed=2)


def test_methods_that_are_not_known_by_their_function(project: Project) -> None:
    """A decorator that wraps without saying so, and tasks that outlive what started them."""
    project.write(
        **{"site-packages__wrapping": "def unsaid(function): return lambda *of: function(*of)"},
        conftest=INSTALLED,
        test_it="""
        import app
        import asyncio
        import functools
        import unittest
        import wrapping
        from sqlalchemy import create_engine
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite://")

        def teardown_module():
            engine.dispose()

        class TestWrapped(unittest.TestCase):
            def setUp(self):
                self.session = Session(engine)
                self.addCleanup(self.session.close)

            @wrapping.unsaid
            def test_wrapped_bad(self):
                app.process(self.session)

            def calls(self, what):
                what(self.session)

            test_partial_bad = functools.partialmethod(calls, app.process)

        class TestTasks(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.asked = asyncio.Queue()
                self.answered = asyncio.Event()
                self.task = asyncio.create_task(self.serve())

            async def serve(self):
                while True:
                    what = await self.asked.get()
                    with Session(engine) as session:
                        what(session)
                    self.answered.set()

            async def asyncTearDown(self):
                self.task.cancel()

            async def test_server_bad(self):
                self.asked.put_nowait(app.process)
                await self.answered.wait()

            async def test_server_good(self):
                self.asked.put_nowait(app.split)
                await self.answered.wait()
        """,
    )
    result = project.run_here("--txprof", "-q")
    assert sorted(failed(result)) == ["test_partial_bad", "test_server_bad", "test_wrapped_bad"]
