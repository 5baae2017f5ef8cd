"""`txprof demo`: a story of examples/ai_research, starving its pool and fixed, side by side."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import txprof
from txprof.demo_compared import compare, heading, say
from txprof.settings import enabled

if TYPE_CHECKING:
    from sqlalchemy import URL

_PACKAGE = "txprof_demo_ai_research"
_NEEDS = ("aiosqlite", "boto3", "flask", "flask_cors", "greenlet", "httpx", "moto.server")


class DemoError(Exception):
    """Why the demo cannot run, in one line without passwords."""


@dataclass(frozen=True)
class Story:
    """Two programs of the example, by their modules' names, and the module that runs them."""

    naive: str
    fixed: str
    batch: str
    products: int
    """How many are enough to tell it."""
    asyncio: bool


ON_THREADS = Story("naive", "fixed", "batch", products=40, asyncio=False)
IN_TASKS = Story("async_naive", "async_fixed", "async_batch", products=100, asyncio=True)


def run(story: Story, database_url: str | None, products: int, llm_seconds: float) -> None:
    """Run both variants and print what txprof saw.

    Args:
        story: which programs to run.
        database_url: SQLAlchemy URL; None for SQLite in a temporary folder.
        products: how many products each variant researches.
        llm_seconds: how long the language model takes for one answer.

    Raises:
        DemoError: when something it needs is missing: a library, the database, txprof itself.
    """
    if not enabled():
        raise DemoError("TXPROF=0 in the environment switches txprof off: nothing to show")
    folder = load_example()
    models, services = part("models"), part("services")
    with ExitStack() as stack:
        signals = stack.enter_context(_Signals())
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="txprof-demo-"))
        own = f"sqlite:///{Path(temporary) / 'products.db'}"
        url = own if database_url is None else database_url
        stack.enter_context(_database_errors(url))
        stack.enter_context(_no_new_file(_checked(url, story)))
        workers = stack.enter_context(part(story.batch).connected(url))
        _reach(url, workers)
        stack.enter_context(models.tables(workers.within, products))
        hurry = stack.enter_context(services.running(llm_seconds))
        stack.callback(signals.ignore)  # the first to run, before all that cleans up
        batch = _Batch(workers, products, folder, hurry)

        _introduce(batch, llm_seconds)
        heading(f"{story.naive}.py: everything in one transaction")
        naive = batch.measure(story.naive)
        naive.profile.print()
        _lost(naive)
        heading(f"{story.fixed}.py: read, call, write")
        fixed = batch.measure(story.fixed)
        fixed.profile.print()
        compare(naive, fixed, workers.count)


# --- the example --------------------------------------------------------------------------------


def load_example() -> Path:
    """Import the example's package, wherever it is; its folder.

    Raises:
        DemoError: when the libraries of the extra `demo`, or the example itself, are missing.
    """
    for name in _NEEDS:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise DemoError(
                f'the demo needs libraries of its own: pip install "txprof[demo]" ({error})'
            ) from error
    folder = _example_folder()
    if _PACKAGE not in sys.modules:
        # By its place and under a name of our own: `examples` may be anything on sys.path.
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = package
        spec.loader.exec_module(package)
    return folder


def _example_folder() -> Path:
    here = Path(__file__).resolve().parent
    for examples in (here / "_examples", here.parent / "examples"):  # a wheel; a checkout
        if (examples / "ai_research" / "__init__.py").is_file():
            return examples / "ai_research"
    raise DemoError("the example programs are not installed beside txprof")


def part(name: str) -> ModuleType:
    """A module of the example, once that is loaded."""
    return importlib.import_module(f"{_PACKAGE}.{name}")


# --- what it runs on ----------------------------------------------------------------------------


def _checked(url: str, story: Story) -> URL:
    """The URL, if the demo can run on such a database."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # their texts may show the password
        raise DemoError(
            "--database-url is not a SQLAlchemy URL such as "
            "postgresql+psycopg://user@localhost/database"
        ) from None
    if parsed.get_dialect().is_async and not story.asyncio:
        raise DemoError(f"{parsed.drivername} is an asyncio driver: it takes the option --async")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DemoError("each connection has an in-memory SQLite database of its own: name a file")
    return parsed


@contextmanager
def _database_errors(url: str) -> Iterator[None]:
    """Errors of the database, inside, as one line that hides the password."""
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except NoSuchModuleError as error:
        raise DemoError(f"SQLAlchemy cannot use this database: {error}") from error
    except ModuleNotFoundError as error:
        raise DemoError(f"the database's driver is not installed: {error}") from error
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise DemoError(_without_password(url, cause)) from error
    except part("models").TablesExist as error:
        raise DemoError(
            f"the database already has tables that the demo would make and drop: {error}"
        ) from error


def _reach(url: str, workers: Any) -> None:
    """Find out whether the database answers."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import SQLAlchemyError

    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        # Asked first: aiosqlite, where it cannot open a file, leaves a thread that complains.
        engine = create_engine(parsed.set(drivername="sqlite"))
        engine.connect().close()
        engine.dispose()
    try:
        workers.within(lambda _connection: None)
    except SQLAlchemyError:
        raise
    except Exception as error:  # asyncpg lets the network's own errors through
        raise DemoError(_without_password(url, error)) from error


def _without_password(url: str, cause: BaseException) -> str:
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    if parsed.password:
        reason = reason.replace(str(parsed.password), "***")
    # The query may carry another password.
    shown = parsed.set(query={}).render_as_string(hide_password=True)
    return f"cannot use the database {shown}: {reason}"


@contextmanager
def _no_new_file(url: URL) -> Iterator[None]:
    """Remove the SQLite file if it was not there before."""
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    new = file is not None and not file.exists()
    try:
        yield
    finally:
        if file is not None and new:
            file.unlink(missing_ok=True)


class _Signals:
    """Ctrl-C, SIGTERM and the terminal's end leave through the clean-up, and do not disturb it."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) == signal.SIG_IGN:  # nohup
                continue
            try:
                self._previous[number] = signal.signal(number, self._leave)
            except ValueError:  # not in the main thread: nobody signals us here
                break
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """From here on we clean up."""
        for number in self._previous:
            signal.signal(number, signal.SIG_IGN)

    def _leave(self, number: int, _frame: FrameType | None) -> None:
        self.ignore()
        logging.disable()  # what SQLAlchemy says of connections that are cut off
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


# --- one variant --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """One variant of the batch: how it went, and its profile."""

    variant: str
    products: int
    outcome: Any
    profile: txprof.Profile


@dataclass(frozen=True)
class _Batch:
    """What the variants have in common; while `hurry` is set, the model answers at once."""

    workers: Any
    products: int
    folder: Path
    hurry: threading.Event

    def measure(self, variant: str) -> Measured:
        """Run one of the two under txprof."""
        process = part(variant).process
        self.hurry.set()
        # Statements are compiled, clients connected: no part of the comparison.
        self.workers.run(process, [1])
        self.hurry.clear()
        self.workers.within(part("models").clear)
        with (
            _progress(f"{variant}.py", self.products) as advance,
            txprof.profile(
                process,
                on_finding="ignore",
                application=(str(self.folder),),
                # What the user's own settings let pass is the point of the story.
                allow_kinds=(),
                allow_hosts=(),
                severity=(),
                # How long tasks that start at once, and writers of one file, wait for each other
                # tells of the machine; naive sits for 1.5 s.
                disable=("long-transaction", "pool-wait"),
                idle_ms=1_000.0,
            ) as profile,
        ):
            product_ids = range(1, self.products + 1)
            outcome = self.workers.run(process, product_ids, advance, on_abort=self.hurry.set)
        return Measured(variant, self.products, outcome, profile)


@contextmanager
def _progress(name: str, products: int) -> Iterator[Any]:
    """A bar on stderr, if that is a terminal; yields what takes the batch's outcome so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[lost]}"),
        console=console,
        transient=True,
        disable=not (sys.stderr.isatty() and console.is_interactive),
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task(name, total=products, lost="")

        def advance(outcome: Any) -> None:
            lost = f"{outcome.failed} lost" if outcome.failed else ""
            progress.update(task, completed=outcome.done + outcome.failed, lost=lost)

        yield advance


# --- what it says -------------------------------------------------------------------------------


def _introduce(batch: _Batch, llm_seconds: float) -> None:
    workers = batch.workers
    say(
        f"{batch.products} products, {workers.described}, a pool of {workers.pool_size} "
        f"connections. For each product: {len(part('models').SPECS)} questions to a language model "
        f"({llm_seconds * 1e3:.0f} ms each), an image to S3, and the answers to the database."
    )


def _lost(measured: Measured) -> None:
    outcome = measured.outcome
    if outcome.failed:
        lost = f"{outcome.failed} of {measured.products} products"
        say(f"lost     {lost}: {outcome.error}", indent=9)
