"""What is the test suite's, and not the application's."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import txprof

_FOLDERS = frozenset(("tests", "test", "testing"))
_INSTALLED = ("site-packages", "dist-packages")
_CALLS_A_METHOD = ("_callTestMethod", "_run_test_method")
"""Of a unittest's class, and of one of testtools': what runs the test's method and no more."""

_PYTEST = (
    pytest.Config,
    pytest.Item,
    pytest.Collector,
    pytest.FixtureRequest,
    pytest.FixtureDef,
)
"""By way of these every fixture and test is reached."""

_CONTROL = re.compile(r"\s*(SAVEPOINT|RELEASE|ROLLBACK TO)\b", re.IGNORECASE)


class Suite:
    """The suite's files: test modules, conftest.py, whatever lies in a folder `tests` or `test`,
    the modules of `pytest_plugins`, and those that the option `harness` names."""

    def __init__(self, config: pytest.Config, patterns: Iterable[str]) -> None:
        self._root = str(config.rootpath) + os.sep
        self._patterns = tuple(patterns)
        self._config = config
        self._modules: set[str] = set()
        self._plugins: set[str] = set()
        self._runners: set[str] = set()
        """Files of what runs a unittest, from which its set-up is told from its method."""
        self._known: dict[str, bool] = {}
        self.harness = txprof.Harness(self.is_suite, is_script=self._modules.__contains__)

    def collected(self, items: Iterable[pytest.Item]) -> None:
        """Now it is known which modules hold tests."""
        for item in items:
            if isinstance(item, pytest.Function):
                self._modules.add(str(item.path))
            for function in _running(item):
                self._runners.add(function.__code__.co_filename)
        for plugin in self._config.pluginmanager.get_plugins():
            file = getattr(plugin, "__file__", None)
            if isinstance(file, str):
                self._plugins.add(file)
        self._known.clear()
        self.harness.forget()

    def is_suite(self, file: str) -> bool:
        """Whether a file is the suite's."""
        known = self._known.get(file)
        if known is None:
            known = self._known[file] = self._is_suite(file)
        return known

    def _is_suite(self, file: str) -> bool:
        if file.startswith("<"):
            return file.startswith("<doctest")
        if file in self._runners:
            return True
        if any(f"{os.sep}{folder}{os.sep}" in file for folder in _INSTALLED):
            return False
        if file in self._modules or file in self._plugins:
            return True
        relative = Path(file.removeprefix(self._root))
        if relative.name == "conftest.py":
            return True
        if relative.is_absolute():
            return False
        return not _FOLDERS.isdisjoint(relative.parts[:-1]) or any(
            fnmatch.fnmatch(relative.as_posix(), pattern) for pattern in self._patterns
        )

    def begins(self, item: pytest.Item) -> None:
        """A test's call begins: what is open now is the suite's."""
        function: Any = getattr(item, "function", None)
        if function is not None:
            self.harness.add(function)
            inner = getattr(getattr(function, "hypothesis", None), "inner_test", None)
            if inner is not None:
                self.harness.add(inner)
        running = _running(item)
        if running:
            # Its set-up, tear-down and cleanups, of whatever class, are all that is not the method.
            self.harness.add(running[0], aside=True)
            self.harness.add(*running[1:])
        self.harness.keepers(lambda: _keepers(item), besides=_PYTEST)
        self.harness.take_over()


def _running(item: pytest.Item) -> list[Any]:
    """Where the item is a unittest: what runs all of it, and what runs its method alone."""
    unittest = sys.modules.get("unittest")
    owner = getattr(item, "cls", None)
    if unittest is None or owner is None or not issubclass(owner, unittest.TestCase):
        return []
    found = [type(item).runtest, *(getattr(owner, name, None) for name in _CALLS_A_METHOD)]
    return [function for function in found if isinstance(function, FunctionType)]


def _keepers(item: pytest.Item) -> Iterator[Any]:
    """What may have a connection that a fixture gives back, now or when its scope ends: the values
    and variables of the fixtures that live, the test's object, its class's attributes and its
    module's globals."""
    request = getattr(item, "_request", None)  # private; without it a finding more
    for fixture in getattr(request, "_fixture_defs", {}).values():
        if fixture.cached_result is not None:
            yield fixture.cached_result[0]
            yield from getattr(fixture, "_finalizers", ())  # it has the fixture's generator
    yield getattr(item, "instance", None)
    for owner in (*getattr(getattr(item, "cls", None), "__mro__", ()), getattr(item, "module", 0)):
        names = getattr(owner, "__dict__", {})
        yield from (value for name, value in names.items() if not name.startswith("__"))


def queries_of(profile: txprof.Profile) -> list[txprof.Query]:
    """The statements that ran, without savepoints: the suite's own transaction makes them."""
    return [query for query in profile.queries if not _CONTROL.match(query.statement)]
