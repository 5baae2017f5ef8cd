"""`txprof demo`: what it shows, and that nothing stays of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from children import assert_one_line_error, child
from helpers import PATIENCE
from sqlalchemy import create_engine, inspect, text

import txprof

_FIRST, _LAST = "introduction", "before and after"

REPOSITORY = Path(txprof.__file__).resolve().parents[1]


@dataclass
class Home:
    """An empty home, working directory and temporary folder for a demo."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("home", "work", "tmp"):
            (self.folder / name).mkdir(parents=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "TXPROF"},
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONIOENCODING": "utf-8",
        }

    def start(self, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
        return child(
            [sys.executable, *arguments],
            cwd=self.folder / "work",
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def demo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.start("-m", "txprof", "demo", *arguments) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def left_behind(self) -> list[Path]:
        return [path for name in ("home", "work", "tmp") for path in (self.folder / name).iterdir()]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "of the demo")


# --- the demo as it is run ----------------------------------------------------------------------


def parts_shown(home: Home, *arguments: str) -> dict[str, str]:
    """What a demo prints, by part."""
    done = home.demo(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert home.left_behind() == []
    introduction, *rest = done.stdout.split("\n== ")
    parts = {"introduction": introduction}
    for chapter in rest:
        title, _, body = chapter.partition(" ==\n")
        parts[title.partition(":")[0]] = body
    return parts


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """8 products, of which 3 get no connection within a second."""
    home = Home(tmp_path_factory.mktemp("demo") / "home")
    return parts_shown(home, "--products", "8", "--llm-ms", "150")


@pytest.fixture(scope="module")
def shown_async(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """100 products at once, of which 10 have the connections for longer than the others wait."""
    home = Home(tmp_path_factory.mktemp("async demo") / "home")
    return parts_shown(home, "--async", "--llm-ms", "600")


def after(report: str, code: str) -> str:
    """The line of a report that follows the line of code."""
    lines = report.splitlines()
    (index,) = [number for number, line in enumerate(lines) if code in line]
    return lines[index + 1]


def test_it_runs_naive_then_fixed_then_compares(shown: dict[str, str]) -> None:
    assert list(shown) == ["introduction", "naive.py", "fixed.py", "before and after"]
    assert shown["introduction"].startswith("8 products, 8 threads, a pool of 5 connections.")


def test_naive_shows_the_findings_beside_the_lines_that_call(shown: dict[str, str]) -> None:
    beside_llm = after(shown["naive.py"], "llm.fetch_specs(")
    assert "▲ io-in-transaction: HTTP POST 127.0.0.1:" in beside_llm
    assert "/v1/chat/completions ×50" in beside_llm
    beside_s3 = after(shown["naive.py"], "images.upload(")
    assert "▲ io-in-transaction: S3 PutObject product-images ×5" in beside_s3


def test_naive_loses_products_to_the_pool(shown: dict[str, str]) -> None:
    assert "lost     3 of 8 products: QueuePool limit of size 5" in shown["naive.py"]
    assert "peak busy 5 · waited 3× (max 1.0" in shown["naive.py"]
    assert "timeouts 3" in shown["naive.py"]
    naive = " ".join(shown["naive.py"].split())
    assert "▲ pool-timeout: got no connection ×3" in naive
    assert "; held by thread batch_" in naive
    assert "now at llm.py:" in naive


def test_fixed_has_no_findings(shown: dict[str, str]) -> None:
    assert "\nno findings\n" in shown["fixed.py"]
    assert "▲" not in shown["fixed.py"]
    assert shown["before and after"].endswith(
        "fixed.py has no findings: no connection is held while the model or S3 work.\n"
    )


def figures(shown: dict[str, str], name: str) -> tuple[str, str]:
    for line in shown["before and after"].splitlines():
        if line.startswith(name):
            return line[32:48].strip(), line[48:64].strip()
    raise AssertionError(name)


def test_the_table_compares_before_and_after(shown: dict[str, str]) -> None:
    assert figures(shown, "  ") == ("naive.py", "fixed.py")
    assert figures(shown, "products done") == ("5 of 8", "8 of 8")
    assert figures(shown, "queries per product") == ("24.0", "4.0")
    assert figures(shown, "pool timeouts") == ("3", "0")
    assert figures(shown, "waits for the pool")[0].startswith("3 (1.0")
    before, after = figures(shown, "products per minute")
    assert int(before) < int(after)
    before, after = figures(shown, "connection held per product")
    assert before.endswith(" s")
    assert after.endswith(" ms")


def test_too_few_products_are_no_prediction(shown: dict[str, str]) -> None:
    told = " ".join(shown[_LAST].split())
    assert "not predicted: 5 holds of a connection are too few to say how they are dist" in told


def test_what_was_predicted_stands_beside_what_was_measured(tmp_path: Path) -> None:
    told = Home(tmp_path / "home").demo("--products", "40", "--llm-ms", "5").stdout
    assert "such a batch" in told
    table = told.partition("--what-if).")[2].splitlines()
    names, kinds, *rows = [line.split() for line in table if line][:5]
    assert names == ["naive.py", "fixed.py"]
    assert kinds == ["predicted", "measured"] * 2
    products, waits, gave_up = rows
    assert products[:3] == ["products", "per", "minute"]
    assert all(int(number) > 0 for number in products[3:])
    assert len(products[3:]) == 4
    assert waits[:5] == ["mean", "wait", "for", "the", "pool"]
    assert gave_up[:4] == ["checkouts", "that", "gave", "up"]


def test_it_fits_80_columns(shown: dict[str, str], shown_async: dict[str, str]) -> None:
    ours = [each[name] for each in (shown, shown_async) for name in (_FIRST, _LAST)]
    assert max(len(line) for part in ours for line in part.splitlines()) < 80


def test_in_asyncio_it_tells_the_same_story(shown_async: dict[str, str]) -> None:
    assert list(shown_async) == [_FIRST, "async_naive.py", "async_fixed.py", _LAST]
    assert " ".join(shown_async[_FIRST].split()).startswith(
        "100 products, 100 asyncio tasks, a pool of 10 connections."
    )
    assert figures(shown_async, "  ") == ("async_naive.py", "async_fixed.py")
    assert " ".join(shown_async[_LAST].split()).endswith(
        "async_fixed.py has no findings: no connection is held while the model or S3 work."
    )


def test_a_hundred_tasks_starve_the_pool_until_calls_hold_no_connection(
    shown_async: dict[str, str],
) -> None:
    naive, fixed = shown_async["async_naive.py"], shown_async["async_fixed.py"]
    assert naive.startswith("\ntxprof ── process ── 100 calls ")
    assert fixed.startswith("\ntxprof ── process ── 100 calls ")
    assert figures(shown_async, "products done") == ("10 of 100", "100 of 100")
    assert figures(shown_async, "pool timeouts") == ("90", "0")
    assert figures(shown_async, "queries per product") == ("4.0", "4.0")
    assert "lost     90 of 100 products: QueuePool limit of size 10" in naive
    assert "▲ pool-timeout: got no connection ×90" in naive
    assert "; held by task Task-" in " ".join(naive.split())


def test_in_asyncio_findings_stand_beside_the_awaits(shown_async: dict[str, str]) -> None:
    naive = shown_async["async_naive.py"]
    beside_llm = after(naive, "await llm.fetch_specs_async(")
    assert "┃           ▲ io-in-transaction: HTTP POST 127.0.0.1:" in beside_llm
    assert "/v1/chat/completions ×100" in beside_llm
    beside_s3 = after(naive, "await asyncio.to_thread(images.upload")
    assert "┃           ▲ io-in-transaction: S3 PutObject product-images ×10" in beside_s3
    assert "\nno findings\n" in shown_async["async_fixed.py"]
    assert "▲" not in shown_async["async_fixed.py"]


def test_installed_it_finds_the_example_and_takes_it_for_an_application(home: Home) -> None:
    packages = home.folder / "site-packages"
    ignored = shutil.ignore_patterns("__pycache__", "_examples")
    shutil.copytree(REPOSITORY / "txprof", packages / "txprof", ignore=ignored)
    shutil.copytree(REPOSITORY / "examples", packages / "txprof" / "_examples", ignore=ignored)
    home.environment["PYTHONPATH"] = str(packages)
    done = home.demo("--products", "2", "--llm-ms", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{packages}/txprof/_examples/ai_research/naive.py" in done.stdout
    assert "▲ io-in-transaction: HTTP" in after(
        done.stdout.partition("== fixed.py")[0], "llm.fetch_specs("
    )


# --- nothing stays ------------------------------------------------------------------------------


def test_a_database_of_the_user_has_its_own_tables_only_afterwards(
    home: Home, database_url: str
) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mine (id INTEGER)"))
    done = home.demo("--products", "2", "--llm-ms", "1", "--database-url", database_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert inspect(engine).get_table_names() == ["mine"]
    engine.dispose()
    assert home.left_behind() == []


def test_a_sqlite_file_that_was_not_there_is_removed(home: Home, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert home.demo("--products", "1", "--llm-ms", "0", "--database-url", url).returncode == 0
    assert not (tmp_path / "new.db").exists()


def test_tables_that_are_there_already_are_left_alone(home: Home, database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE txprof_demo_unit (id INTEGER)"))
        connection.execute(text("INSERT INTO txprof_demo_unit VALUES (7)"))
    assert_one_line_error(home.demo("--database-url", database_url), "txprof_demo_unit")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT id FROM txprof_demo_unit")) == 7
    assert inspect(engine).get_table_names() == ["txprof_demo_unit"]
    engine.dispose()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("story", [(), ("--async",)], ids=["threads", "async"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_cleans_up(
    home: Home, database_url: str, number: signal.Signals, story: tuple[str, ...]
) -> None:
    engine = create_engine(database_url)
    with home.start(
        "-m", "txprof", "demo", *story, "--llm-ms", "20000", "--database-url", database_url
    ) as process:
        assert process.stdout is not None
        while "naive.py" not in process.stdout.readline():
            assert process.poll() is None
        assert len(inspect(engine).get_table_names()) == 3
        process.send_signal(number)
        err = process.communicate(timeout=PATIENCE)[1]
    expected = {signal.SIGINT: (130, "txprof: interrupted\n"), signal.SIGTERM: (143, "")}
    assert (process.returncode, err) == expected[number]
    if engine.dialect.name == "sqlite":
        assert Path(str(engine.url.database)).exists() is False
    else:
        assert inspect(engine).get_table_names() == []
    engine.dispose()
    assert home.left_behind() == []


def test_a_reader_that_leaves_early_is_no_error(home: Home) -> None:
    with home.start("-m", "txprof", "demo", "--products", "1", "--llm-ms", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert home.left_behind() == []


# --- what it cannot do --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://me:s3cret@127.0.0.1:1/x", "postgresql+psycopg://me:***@127.0.0.1:1"),
        ("mysql+pymysql://me:s3cret@127.0.0.1:1/x?password=s3cret", "mysql+pymysql://me:***@"),
        ("postgresql://me:s3cret@127.0.0.1:port/x", "not a SQLAlchemy URL"),
        ("me:s3cret@127.0.0.1", "not a SQLAlchemy URL"),
        ("", "not a SQLAlchemy URL"),
        ("nosuch://me:s3cret@127.0.0.1/x", "sqlalchemy.dialects:nosuch"),
        ("oracle+oracledb://me:s3cret@127.0.0.1/x", "driver is not installed"),
        (
            "sqlite+aiosqlite:///x.db",
            "sqlite+aiosqlite is an asyncio driver: it takes the option --async",
        ),
        ("sqlite://", "name a file"),
        ("sqlite:///no/such/folder/x.db", "unable to open database file"),
    ],
)
def test_a_database_that_it_cannot_use_is_one_line_without_the_password(
    home: Home, url: str, reason: str
) -> None:
    done = home.demo("--database-url", url)
    assert_one_line_error(done, reason)
    assert "s3cret" not in done.stderr
    assert home.left_behind() == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://me:s3cret@127.0.0.1:1/x", "postgresql+psycopg://me:***@127.0.0.1:1"),
        ("postgresql+asyncpg://me:s3cret@127.0.0.1:1/x", "postgresql+asyncpg://me:***@127.0.0.1:1"),
        ("mysql+pymysql://me:s3cret@127.0.0.1:1/x", "The loaded 'pymysql' is not async"),
        ("sqlite://", "name a file"),
        ("sqlite:///no/such/folder/x.db", "unable to open database file"),
    ],
)
def test_the_same_in_asyncio(home: Home, url: str, reason: str) -> None:
    done = home.demo("--async", "--database-url", url)
    assert_one_line_error(done, reason)
    assert "s3cret" not in done.stderr
    assert home.left_behind() == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_in_asyncio_it_runs_on_either_driver_of_postgresql(
    home: Home, postgresql_url: str, driver: str
) -> None:
    url = postgresql_url.replace("+psycopg", f"+{driver}")
    done = home.demo("--async", "--products", "2", "--llm-ms", "1", "--database-url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "▲ io-in-transaction: HTTP" in after(
        done.stdout.partition("== async_fixed.py")[0], "llm.fetch_specs_async("
    )


@pytest.mark.parametrize(
    "library", ["aiosqlite", "boto3", "httpx", "flask", "greenlet", "moto.server"]
)
def test_without_its_libraries_it_says_what_to_install(home: Home, library: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None; sys.argv[1:] = ['demo']; import txprof.cli"
    )
    with home.start("-c", f"{code}; sys.exit(txprof.cli.main())") as process:
        out, err = process.communicate(timeout=PATIENCE)
    done = subprocess.CompletedProcess([], process.returncode, out, err)
    assert_one_line_error(done, 'pip install "txprof[demo]"', library)


def test_where_txprof_is_switched_off_it_says_so(home: Home) -> None:
    home.environment["TXPROF"] = "0"
    assert_one_line_error(home.demo(), "TXPROF=0")
