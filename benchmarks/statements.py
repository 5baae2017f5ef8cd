"""What txprof and its peers add to a statement, in microseconds.

Each variant has engines of its own (SQLite in memory) with one connection in one open transaction.
Rows come from Core and from the ORM, near the top of the stack and beneath 30 frames of libraries
and 5 of the application. Budget: txprof, watching, adds at most 3 us.
"""

from __future__ import annotations

import importlib
import os
import sysconfig
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sqlalchemy
from databases import SELECT_1, in_memory
from harness import (
    MISSING,
    Around,
    Samples,
    Table,
    Variant,
    arguments,
    installed_past_connections,
    measure,
    micros,
    micros_added,
    publish,
    watching,
)
from sqlalchemy import Connection, Engine, event, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

BUDGET = 3e-6
LIBRARY_FRAMES, APPLICATION_FRAMES = 30, 5
DATABASES = 3


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


SELECT_ROW = select(Product.__table__).where(Product.__table__.c.id == 1)
SELECT_PRODUCT = select(Product).where(Product.id == 1)


class Database:
    """An engine with one connection in one open transaction, and a session on it."""

    def __init__(self) -> None:
        self.engine: Engine = in_memory()
        self.connection: Connection
        self.session: Session

    def open(self) -> Database:
        """Check the connection out and begin; from here on the database is in use."""
        self.connection = self.engine.connect()
        self.connection.begin()
        Base.metadata.create_all(self.connection)
        self.connection.execute(text("INSERT INTO product (id, name) VALUES (1, 'one')"))
        self.session = Session(self.connection)
        self.session.get(Product, 1)
        return self

    def core_select_1(self, count: int) -> None:
        execute = self.connection.execute
        for _ in range(count):
            execute(SELECT_1).scalar()

    def core_row(self, count: int) -> None:
        execute = self.connection.execute
        for _ in range(count):
            execute(SELECT_ROW).first()

    def orm_entity(self, count: int) -> None:
        scalars = self.session.scalars
        for _ in range(count):
            scalars(SELECT_PRODUCT).first()


OPERATIONS = {
    "Core, select 1": Database.core_select_1,
    "Core, row by id": Database.core_row,
    "ORM, entity by id": Database.orm_entity,
}

STATEMENTS = {
    operation + (", deep" if stack else ""): (operation, stack)
    for stack in (False, True)
    for operation in OPERATIONS
}
"""By the name of its row: the operation, and whether it is deep in the stack."""


# --- the stack ----------------------------------------------------------------------------------


_Function = Callable[[list[Any], int], object]


def _library_function(number: int) -> _Function:
    """One that is not the application's: its file would lie in the standard library's folder."""
    file = os.path.join(sysconfig.get_path("stdlib"), f"framework{number % 6}.py")
    namespace: dict[str, Any] = {}
    source = "def handle(stack, count):\n    return stack.pop()(stack, count)\n"
    exec(compile(source, file, "exec"), namespace)
    function: _Function = namespace["handle"]
    return function


def _application_function(stack: list[Any], count: int) -> object:
    return stack.pop()(stack, count)


def deep(run: Callable[[int], object]) -> Callable[[int], object]:
    """The same beneath a framework's frames and the application's; `run` loops at the bottom."""
    frames: list[_Function] = [_application_function] * APPLICATION_FRAMES
    frames += [_library_function(number) for number in range(LIBRARY_FRAMES)]

    def outermost(count: int) -> object:
        return _application_function([lambda _stack, count: run(count), *frames], count)

    return outermost


# --- the variants -------------------------------------------------------------------------------


def nothing(_engine: Engine) -> Around:
    """As it is."""
    return nullcontext


def no_op_listeners(engine: Engine) -> Around:
    """The least that any tool on SQLAlchemy's cursor events costs."""

    def listener(*_args: object) -> None:
        pass

    event.listen(engine, "before_cursor_execute", listener)
    event.listen(engine, "after_cursor_execute", listener)
    return nullcontext


def opentelemetry(engine: Engine) -> Around:
    """Spans that are recorded and, without a processor, dropped at their end.

    Raises:
        ImportError: where it is not installed, or refuses this SQLAlchemy.
    """
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    instrumentation = importlib.import_module("opentelemetry.instrumentation.sqlalchemy")
    instrumentor = instrumentation.SQLAlchemyInstrumentor()
    instrumentor._is_instrumented_by_opentelemetry = False  # it takes one call, with all engines
    instrumentor.instrument(engine=engine, tracer_provider=sdk.TracerProvider())
    if not instrumentor._is_instrumented_by_opentelemetry:  # all that it does is to log that
        raise ImportError(f"it refuses SQLAlchemy {sqlalchemy.__version__}")
    return nullcontext


def sqltap(engine: Engine) -> Around:
    """A new session each turn: it keeps every statement, with its stack."""
    module = importlib.import_module("sqltap")
    return lambda: module.ProfilingSession(engine)


def queryspy(_engine: Engine) -> Around:
    """It listens to every engine while it records."""
    return importlib.import_module("queryspy").record  # type: ignore[no-any-return]


def sentry(_engine: Engine) -> Around:
    """It listens to every engine for good; each turn is a transaction of its own."""
    sdk = importlib.import_module("sentry_sdk")
    integration = importlib.import_module("sentry_sdk.integrations.sqlalchemy")
    sdk.init(
        dsn="http://key@localhost/1",
        transport=lambda _event: None,
        traces_sample_rate=1.0,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[integration.SqlalchemyIntegration()],
    )
    return lambda: sdk.start_transaction(name="benchmark")


Attach = Callable[[Engine], Around]

PEERS: dict[str, Attach] = {
    "listeners": no_op_listeners,
    "OpenTelemetry": opentelemetry,
    "sqltap": sqltap,
}
"""They listen to the one engine they are given: they take turns with everyone else."""

GLOBAL_PEERS: dict[str, Attach] = {"queryspy": queryspy, "sentry": sentry}
"""They listen to every engine: they have their turns when the others are done."""

COLUMNS = (*PEERS, *GLOBAL_PEERS, "idle", "txprof")


class Contestant:
    """Databases that are watched in one way: each turn is another one's.

    Objects that are alike are not equally quick, by where they lie in memory: with one database
    each, who comes first was drawn once for the whole run.
    """

    def __init__(self, name: str, attach: Attach = nothing) -> None:
        self.name = name
        self.databases = [Database() for _ in range(DATABASES)]
        self._arounds = [attach(database.engine) for database in self.databases]
        for database in self.databases:
            database.open()
        self._turn = 0

    def variant(self, statement: str) -> Variant:
        """One of `STATEMENTS` on them."""
        operation, stack = STATEMENTS[statement]

        def run(count: int) -> object:
            return OPERATIONS[operation](self.databases[self._turn], count)

        return Variant(self.name, deep(run) if stack else run, self._around)

    def _around(self) -> AbstractContextManager[object]:
        self._turn = (self._turn + 1) % DATABASES
        return self._arounds[self._turn]()


def installed(peers: dict[str, Attach]) -> list[Contestant]:
    """Those that can be imported and work with this SQLAlchemy."""
    found = []
    for name, attach in peers.items():
        try:
            found.append(Contestant(name, attach))
        except Exception as error:
            print(f"{name} is left out: {error!r}")
    return found


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 30
    warnings.simplefilter("ignore")  # sqltap's listeners are of an older SQLAlchemy

    def compete(*contestants: Contestant) -> dict[str, Samples]:
        variants = {
            statement: [each.variant(statement) for each in contestants] for statement in STATEMENTS
        }
        return measure(variants, turns)

    bare = Contestant("bare")
    before = compete(bare)
    peers = installed(PEERS)
    with installed_past_connections():
        watched = [
            Contestant("idle"),
            Contestant("txprof", lambda _engine: watching),
        ]
    for contestant in (bare, *peers):
        for database in contestant.databases:
            assert "do_execute" not in vars(database.engine.dialect), "it is not bare"

    rows = compete(bare, *peers, *watched)
    for name, attach in GLOBAL_PEERS.items():
        for contestant in installed({name: attach}):
            for statement, samples in compete(contestant).items():
                rows[statement].seconds |= samples.seconds
    publish(table_of(before, rows), options)


def table_of(before: dict[str, Samples], rows: dict[str, Samples]) -> Table:
    """A row for each statement, a column for each contestant."""
    table = Table(
        f"Microseconds added to a statement, SQLAlchemy {sqlalchemy.__version__}",
        *("what", "bare", *COLUMNS, "spread", "budget", "verdict"),
    )
    for statement, samples in rows.items():
        table.add(
            statement,
            micros(samples.figure("bare")),
            *(
                micros_added(samples.added(name)) if name in samples else MISSING
                for name in COLUMNS
            ),
            "±" + micros(samples.spread("txprof")),
            micros_added(BUDGET),
            table.judge(samples.judged_added("statement", statement, "txprof", BUDGET)),
        )
    pairs = ", ".join(
        f"{micros(alone.figure('bare'))}/{micros(rows[statement].figure('bare'))}"
        for statement, alone in before.items()
    )
    table.note(f"bare, alone before txprof was installed / in turns with the others: {pairs}")
    table.note(
        f"deep: beneath {LIBRARY_FRAMES} frames of libraries and {APPLICATION_FRAMES} of the "
        "application"
    )
    return table


if __name__ == "__main__":
    main()
