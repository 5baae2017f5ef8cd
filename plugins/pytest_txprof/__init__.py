"""pytest: a test fails when the application does I/O in a transaction.

Inert until asked: by `--txprof`, by `txprof = true` in the ini file, or for one test by a marker or
the fixture `txprof`. Until then nothing of txprof is imported. Built on its public API alone.

PYTEST_DONT_REWRITE: there are no assertions of a test in here.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_txprof.guard import Guard

if TYPE_CHECKING:
    from pytest_txprof.summary import Summary
    from pytest_txprof.watcher import Watcher

MARKERS = (
    "txprof(mode=..., rules=..., on_finding=..., lines=...): watch this test, as these say",
    "txprof_allow(rule, ..., reason=...): let this test break these rules; say why",
    "max_queries(number): fail if the test runs more statements",
    "max_db_time(seconds): fail if its statements take longer",
)
PACKAGES = ("txprof", "txprof_web", "pytest_txprof")
ACTIVATING = frozenset(("txprof", "max_queries", "max_db_time"))

watcher_key = pytest.StashKey["Watcher"]()
summary_key = pytest.StashKey["Summary"]()
live_key = pytest.StashKey[Any]()
guard_key = pytest.StashKey[Guard]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    _leave_as_they_are(pluginmanager)
    from pytest_txprof.options import add_options

    add_options(parser)


def _leave_as_they_are(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let our packages be imported from the byte code that they were installed with.

    pytest rewrites the assertions in all packages of a distribution that has a plugin. It compiles
    each of their modules for that: at every start, where Python is told to write no byte code.
    """
    marked = getattr(pluginmanager.rewrite_hook, "_must_rewrite", None)  # private
    if isinstance(marked, set):
        marked.difference_update(PACKAGES)


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    guard = config.stash[guard_key] = Guard()
    config.pluginmanager.register(_Reports(config, guard), "txprof-reports")
    if is_asked(config):
        with guard("its start"):
            activate(config)


def is_asked(config: pytest.Config) -> bool:
    """Whether every test is to be watched."""
    return _may_watch() and bool(config.getoption("txprof") or config.getini("txprof"))


def _may_watch() -> bool:
    return os.environ.get("TXPROF", "1").strip().lower() not in ("0", "false", "off", "no")


def activate(config: pytest.Config) -> Watcher:
    """Import txprof and watch from now on."""
    watcher = config.stash.get(watcher_key, None)
    if watcher is None:
        from pytest_txprof.watcher import Watcher

        watcher = config.stash[watcher_key] = Watcher(config)
        config.pluginmanager.register(watcher, "txprof-watcher")
        summary_of(config)
    return watcher


def summary_of(config: pytest.Config) -> Summary:
    """What came of all tests, also of those that xdist's workers ran."""
    found = config.stash.get(summary_key, None)
    if found is None:
        from pytest_txprof.summary import Summary

        found = config.stash[summary_key] = Summary(config)
        config.pluginmanager.register(found, "txprof-summary")
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _may_watch():
        with config.stash[guard_key]("what it makes of the collected tests"):
            _collected(config, items)


def _collected(config: pytest.Config, items: list[pytest.Item]) -> None:
    watcher = config.stash.get(watcher_key, None)
    if watcher is None:
        for item in items:
            if "txprof" in getattr(item, "fixturenames", ()) or any(
                marker.name in ACTIVATING for marker in item.iter_markers()
            ):
                watcher = activate(config)
                break
    if watcher is not None:
        watcher.collected(items)


class _Reports:
    """With xdist the tests are watched by workers: the reports have what they saw."""

    def __init__(self, config: pytest.Config, guard: Guard) -> None:
        self._config = config
        self._guard = guard

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._guard.hear(report)
        if hasattr(report, "txprof"):
            with self._guard("the sum of the reports"):
                summary_of(self._config).add(report)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        self._guard.write(terminalreporter)


@pytest.fixture
def txprof(request: pytest.FixtureRequest) -> Generator[Any]:
    """The live profile of this test: what was found so far, what ran, `expect`."""
    from pytest_txprof.live import Live

    live = request.node.stash[live_key] = Live()
    yield live
    del request.node.stash[live_key]
