"""A bug of the plugin's own turns no test red, and none green; it is told of once, at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_txprof
from plugin_project import Project, failed
from pytest_txprof import summary, watcher
from pytest_txprof.recordings import Recordings
from pytest_txprof.suite import Suite

import txprof
from txprof import boundary, visits
from txprof.boundary import Boundary
from txprof.sensors import sessions

TESTS = """
import threading
from concurrent.futures import ThreadPoolExecutor

import app
import pytest

@pytest.fixture
def made(request):
    return 7

def test_it_passes(session, made):
    app.process(session)
    assert made == 7

def test_it_starts_threads(made):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(app.only_calls).result() == "charge"
    thread = threading.Thread(target=app.only_calls)
    thread.start()
    thread.join()

@pytest.mark.parametrize("number", range(3))
def test_it_asks_often(session, number):
    assert app.asks_often(session) == list(range(7))

def test_it_has_savepoints(engine):
    with engine.connect() as connection:
        app.nested(connection)

def test_it_fails(session, made):
    app.process(session)
    assert made == 8, "its own reason"
"""


def _broken(*_arguments: Any, **_options: Any) -> Any:
    raise AttributeError("a bug of ours")


@pytest.fixture
def broken() -> Iterator[Callable[..., Any]]:
    """What a part is replaced by. If nothing comes by there, the test fails: it shows nothing."""
    came: list[bool] = []

    def breaking(*arguments: Any, **options: Any) -> Any:
        came.append(True)
        _broken(*arguments, **options)

    yield breaking
    assert came


def _breaking_at_its_end(function: Callable[..., Any]) -> Callable[..., Any]:
    def breaking(*arguments: Any, **options: Any) -> Any:
        function(*arguments, **options)
        _broken()

    return breaking


def run(project: Project, *options: str) -> pytest.RunResult:
    project.write(test_it=TESTS)
    (project.folder / "known.toml").touch()
    return project.run_here("-q", *options)


def check(result: pytest.RunResult) -> None:
    """Who fails is who fails without us."""
    assert list(failed(result)) == ["test_it_fails"]
    assert result.parseoutcomes()["passed"] == 6
    assert "INTERNALERROR" not in result.stdout.str()


HOOKS: list[tuple[Any, str, str]] = [
    (watcher, "Choices", "its start"),
    (pytest_txprof, "activate", "its start"),
    (watcher.Watcher, "collected", "what it makes of the collected tests"),
    (Suite, "collected", "what it makes of the collected tests"),
    (watcher.Watcher, "_watched", "the start of a test"),
    (watcher.Watched, "settings", "the start of a test"),
    (Suite, "begins", "the start of a test"),
    (txprof.Harness, "take_over", "its start"),
    (txprof.Harness, "__enter__", "the set-up of a fixture"),
    (txprof.Harness, "__exit__", "the set-up of a fixture"),
    (watcher.Watcher, "_end", "the end of a test"),
    (watcher.Watcher, "_judge", "the judgement of a test"),
    (watcher.Watcher, "_judge_late", "the judgement of a tear-down"),
    (watcher.Watcher, "_text", "the judgement of a test"),
    (Recordings, "keep", "the judgement of a test"),
    (Recordings, "finish", "the recordings"),
    (Recordings, "write", "the reports' files"),
    (summary.Summary, "add", "the sum of the reports"),
    (summary.Summary, "_finish_known", "the baseline"),
    (summary.Summary, "_write", "the summary"),
    (summary.Summary, "_more_lines", "the summary"),
]


@pytest.mark.parametrize(
    ("owner", "name", "part"), HOOKS, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_hook_gives_way(
    project: Project, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, part: str
) -> None:
    ends = name == "_end"  # or it would watch on
    monkeypatch.setattr(
        owner, name, _breaking_at_its_end(getattr(owner, name)) if ends else _broken
    )
    mode = "fail" if name == "_text" else "report"
    kept = ("--txprof-baseline=known.toml", "--txprof-report=report.json")
    result = run(project, "--txprof", f"--txprof-mode={mode}", *kept)
    check(result)
    told = [line for line in result.outlines if f"txprof: {part} gave way" in line]
    assert len(told) == 1
    assert "AttributeError at " in told[0]
    assert "a bug of ours" not in told[0]


SENSORS = ["who", "who_at", "_found", "_visit_on", "_place", "opens", "entered", "counted", "cut"]


@pytest.mark.breaks_a_sensor
@pytest.mark.parametrize("name", SENSORS)
def test_what_tells_the_harness_gives_way(
    project: Project, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., Any], name: str
) -> None:
    monkeypatch.setattr(Boundary, name, broken)
    check(run(project, "--txprof", "--txprof-mode=report"))


KEPT: list[tuple[Any, str]] = [
    (visits, "carried"),
    (boundary, "Visit"),
    (boundary, "Counted"),
    (sessions, "Inner"),
]


@pytest.mark.breaks_a_sensor
@pytest.mark.parametrize(
    ("user", "name"), KEPT, ids=lambda value: getattr(value, "__name__", value)
)
def test_what_it_keeps_gives_way(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[..., Any],
    user: Any,
    name: str,
) -> None:
    monkeypatch.setattr(user, name, broken)
    check(run(project, "--txprof", "--txprof-mode=report"))


@pytest.mark.breaks_a_sensor
def test_a_question_about_files_gives_way(
    project: Project, monkeypatch: pytest.MonkeyPatch, broken: Callable[..., Any]
) -> None:
    monkeypatch.setattr(Suite, "is_suite", broken)
    check(run(project, "--txprof", "--txprof-mode=report"))


def test_what_is_found_still_fails_a_test_when_a_later_part_gives_way(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher.Watcher, "_judge_late", _broken)
    result = run(project, "--txprof")
    assert failed(result)["test_it_passes"].startswith("Failed: io-in-transaction")


def test_xdists_workers_tell_of_what_gave_way(project: Project) -> None:
    project.write(
        broken="""
        from pytest_txprof import watcher

        def broken(*arguments, **options):
            raise AttributeError("a bug of ours")

        watcher.Watcher._judge = broken
        """
    )
    project.write(test_it=TESTS)
    result = project.run("-q", "-n1", "-p", "broken", "--txprof", plugins=("xdist",))
    check(result)
    told = [line for line in result.outlines if "the judgement of a test gave way" in line]
    assert len(told) == 1


def test_wrong_settings_are_no_bug_of_ours(project: Project) -> None:
    (project.folder / "pyproject.toml").write_text("[tool.txprof]\nidle_ms = 'soon'\n")
    result = run(project, "--txprof")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "idle_ms" in result.stderr.str()
