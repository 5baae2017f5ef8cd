"""`txprof doctor --pytest`: what was open as a test's call began, who opened it, what counted."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import txprof
from pytest_txprof import activate, watcher_key
from pytest_txprof.failure import Shown


class Explain:
    """A plugin that runs the first of the tests, and tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        activate(config)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        del items[1:]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        watcher = item.config.stash[watcher_key]
        shown = Shown(item.config.rootpath, full=True)
        watcher.suite.begins(item)
        before = txprof.open_connections()
        self.lines.append(f"test                {item.nodeid}")
        self.lines += _listed("open at its start", before, shown)
        with txprof.profile(harness=watcher.suite.harness, on_finding="ignore") as profile:
            try:
                return (yield)
            finally:
                self.lines += _listed("open at its end", txprof.open_connections(), shown)
                statements = sum(query.count for query in profile.queries)
                self.lines.append(
                    f"seen                {statements} statements, "
                    f"{profile.external_calls} external calls, in "
                    f"{profile.visits} calls into the application"
                )
                found = profile.findings
                counted = [shown.one_line(finding) for finding in found] or ["nothing"]
                self.lines += [f"counted             {line}" for line in counted]


def _listed(when: str, connections: list[txprof.OpenConnection], shown: Shown) -> list[str]:
    if not connections:
        return [f"{when:<20}no connection"]
    lines = []
    for each in connections:
        state = "in a transaction" if each.in_transaction else "held"
        places = [shown.place(site) for site in each.call_path if shown.is_below(site.file)]
        path = " < ".join(places) or "before txprof came"
        whose = "the suite's" if each.of_harness else "the application's"
        lines.append(f"{when:<20}{each.engine}, {state}, {whose}; opened at {path}")
    return lines


def explain(arguments: list[str]) -> int:
    """Run pytest with these arguments for one test, and print what was open and what counted."""
    told = Explain()
    status = pytest.main(["-q", "--no-header", *arguments], plugins=[told])
    print("\n" + "\n".join(told.lines or ["no test was run: name one"]))
    return int(status)
