"""`txprof pool plan`: what it says, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import FakeClock
from pool_jobs import Run
from pool_recordings import STORY, pool_of_five, record
from sqlalchemy import Engine

from txprof import cli

Make = Callable[..., Engine]


@pytest.fixture
def engine(tmp_path: Path, made: Make) -> Engine:
    return pool_of_five(made, f"sqlite:///{tmp_path / 'x.db'}")


DATABASE = ("--max-connections", 4000, "--peak-connections", 1200)


def test_the_storys_plan(run: Run) -> None:
    told = run("pool", "plan", *STORY, *DATABASE)
    assert "15 ×         1 ×    9 =         135" in told
    assert "while a deploy doubles the tasks              =         270" in told
    assert "to be used 2000: half of it" in told
    assert "room left 665 (= 2000 - 1200 - 135)" in told
    assert told.endswith("no rule is broken\n")


def test_a_plan_from_a_recording_states_what_it_measured(recording: Path, run: Run) -> None:
    told = run("pool", "plan", recording, *STORY)
    assert "72% of the time is spent waiting: 2 a process are worth having" in told
    assert "deadlock  no worker was seen to hold two connections at once" in told
    assert (
        "measured  8 threads that hold and pause as recorded get 99 % done with a pool of" in told
    )
    assert "8 threads; with 72% of the time spent waiting the gain flattens at 2" in " ".join(
        told.split()
    )


def test_the_deadlock_floor_is_from_observed_nested_checkouts(
    engine: Engine, fake: FakeClock, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "nested.txprof"
    record(engine, fake, 3, nested=True).save(path)
    told = run("pool", "plan", path, "--tasks", 1, "--threads", 8)
    assert "2 connections are held at once: at least 9 (= 8 threads × (2 - 1) + 1)" in told
    assert "the smallest that cannot deadlock is 9" in " ".join(told.split())


def test_too_few_samples_are_said_and_not_guessed_around(
    engine: Engine, fake: FakeClock, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "few.txprof"
    record(engine, fake, 5).save(path)
    told = " ".join(run("pool", "plan", path, *STORY).split())
    assert "not said the pool by simulation: 5 holds of a connection are too few" in told
    assert "threads worth having: the waiting share cannot be told" in told
    assert "measured" not in told.replace("was measured", "")
    complaint = run("pool", "simulate", path, fails=True)
    assert "5 holds of a connection are too few to say how they are distributed: 20" in complaint


def test_what_the_user_says_goes_before_what_was_measured(recording: Path, run: Run) -> None:
    told = run("pool", "plan", recording, *STORY, "--waiting-share", 0.9, "--held-at-once", 2)
    assert "90% of the time is spent waiting: 8 a process are worth having" in told
    assert "at least 10 (= 8 threads × (2 - 1) + 1 + 1)" in told


def test_a_live_database_is_asked(url: str, run: Run, made: Make) -> None:
    if url.startswith("sqlite"):
        complaint = run("pool", "plan", *STORY, "--database-url", url, fails=True)
        assert "sqlite keeps no count of its connections: PostgreSQL, MariaDB" in complaint
        return
    with made(url).connect() as connection:
        mysql = "mysql" in url
        limit = connection.exec_driver_sql(
            "SELECT @@global.max_connections" if mysql else "SHOW max_connections"
        ).scalar()
        told = run("pool", "plan", *STORY, "--database-url", url)
    assert f"max_connections {limit} (" in told
    in_use = int(told.partition("in use now ")[2].split()[0])
    assert in_use >= 1
    if mysql:
        assert int(told.partition("peak so far ")[2].split()[0]) >= in_use
    else:
        assert "reserved for administrators 3" in told
        assert "the peak is not known (the server keeps none)" in told
        told = run("pool", "plan", *STORY, "--database-url", url, "--peak-connections", 7)
        assert "peak so far 7" in told


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (
            "postgresql+psycopg://me:s3cret@127.0.0.1:1/x?password=s3cret",
            "cannot use the database postgresql+psycopg://me:***@127.0.0.1:1/x: ",
        ),
        ("postgresql+asyncpg://me:s3cret@127.0.0.1/x", "postgresql+asyncpg is an asyncio driver"),
        ("nonsense", "not a SQLAlchemy URL such as"),
        ("nosuch://127.0.0.1/x", "SQLAlchemy cannot use this database"),
    ],
)
def test_a_database_that_does_not_answer_is_one_line(run: Run, url: str, complaint: str) -> None:
    told = run("pool", "plan", *STORY, "--database-url", url, fails=True)
    assert complaint in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "give --tasks, or --deployment FILE with the services"),
        (("--tasks", 3), "give --threads, or --deployment FILE"),
        ((*STORY, "--peak-connections", 3), "peak_connections needs max_connections"),
        ((*STORY, "--instance-class", "db.r5.4xlarge"), "'db.r5.4xlarge' needs its engine"),
        (
            (*STORY, "--instance-class", "db.x", "--db-engine", "mysql"),
            "unknown instance class 'db.x'",
        ),
        (
            (*STORY, "--instance-class", "db.r5.large", "--db-engine", "db2"),
            "unknown database engine 'db2'",
        ),
        ((*STORY, "--max-connections", 9, "--db-engine", "mysql"), "engine is for an instance_cl"),
        (
            (*STORY, "--max-connections", 9, "--database-url", "sqlite://"),
            "give one of max_connections and url, not both",
        ),
        ((*STORY, "--waiting-share", 90), "the waiting share must be from 0 to 1, not 90.0"),
        ((*STORY, "--deployment", "x.toml"), "--tasks is for a single service"),
        (("nowhere.txprof", *STORY), "nowhere.txprof: cannot be read"),
    ],
)
def test_a_plan_that_cannot_be_made_is_one_line(
    run: Run, arguments: tuple[object, ...], complaint: str
) -> None:
    assert complaint in run("pool", "plan", *arguments, fails=True)


@pytest.mark.parametrize("option", ["--tasks", "--threads", "--max-connections"])
@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_sizes_that_make_no_sense_are_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["pool", "plan", f"{option}={value}"])
    assert left.value.code == 2
    assert f"argument {option}: must be a whole number from 1 on" in capsys.readouterr().err


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """The file that docs/pool.md shows."""
    page = (Path(__file__).parents[2] / "docs" / "pool.md").read_text(encoding="utf-8")
    path = tmp_path / "deployment.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    return path


def test_a_deployment_of_several_services(deployment: Path, run: Run) -> None:
    told = run("pool", "plan", "--deployment", deployment)
    lines = [line.split() for line in told.splitlines()]
    assert ["api", "web", "4", "×", "8", "×", "5", "=", "160", "running"] in lines
    assert ["research", "batch", "15", "×", "1", "×", "9", "=", "135"] in lines
    assert ["mailer", "background", "2", "×", "4", "×", "5", "=", "40"] in lines
    assert ["together", "=", "335"] in lines
    assert "max_connections 4000 (as given)" in told
    assert "room left 625 (= 2000 - 1200 - 175)" in told
    told = run("pool", "plan", "--deployment", deployment, "--max-connections", 600)
    assert "max_connections 600 (as given)" in told
    assert "all services together: 335 connections, 670 while a deploy" in told


def test_the_database_of_a_deployment_may_be_an_instance_class(deployment: Path, run: Run) -> None:
    of_class = 'instance_class = "db.r5.4xlarge"\nengine = "aurora-mysql"'
    deployment.write_text(deployment.read_text().replace("max_connections = 4000", of_class))
    told = run("pool", "plan", "--deployment", deployment)
    assert "max_connections 4000" in told
    assert "AuroraMySQL" in told


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("", "no service in it: add a table such as [batch.research]"),
        ("tasks = ", "not TOML"),
        ("[cron.x]\ntasks = 1", "unknown table [cron]; there are [database], [web.NAME]"),
        ("[batch.x]\nthreads = 8", "[batch.x]: tasks is missing"),
        ("[batch.x]\ntasks = 1", "[batch.x]: threads is missing"),
        ("[web.x]\ntasks = 1", "[web.x]: threads or pool is missing"),
        ("[batch.x]\ntasks = 0\nthreads = 8", "x: tasks must be 1 or more, not 0"),
        ("[batch.x]\ntasks = 1.5\nthreads = 8", "tasks must be a whole number, not 1.5"),
        ("[batch.x]\ntasks = 1\nthreads = true", "threads must be a whole number, not True"),
        ("[batch.x]\ntasks = 1\nworkers = 2\nthreads = 1", "unknown key 'workers'; there are tas"),
        ("[batch]\nx = 1", "[batch.x] must be a table, not 1"),
        ("batch = 1", "[batch] must be a table, not 1"),
        ("[web.x]\ntasks = 1\npool = 2\nrunning = 1", "running must be true or false, not 1"),
        ("[database]\nmax = 1\n[web.x]\ntasks = 1\npool = 2", "unknown key 'max'; there are max_"),
        ("[database]\nurl = 1\n[web.x]\ntasks = 1\npool = 2", "url must be a string, not 1"),
    ],
)
def test_a_deployment_that_is_none_is_one_line(
    tmp_path: Path, run: Run, document: str, complaint: str
) -> None:
    path = tmp_path / "deployment.toml"
    path.write_text(document)
    assert complaint in run("pool", "plan", "--deployment", path, fails=True)


def test_a_deployment_that_is_not_there_is_one_line(tmp_path: Path, run: Run) -> None:
    told = run("pool", "plan", "--deployment", tmp_path / "none.toml", fails=True)
    assert "none.toml: cannot be read: No such file" in told
