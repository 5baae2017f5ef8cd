"""What is the test suite's, and not the application's."""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import txprof

_FOLDERS = frozenset(("tests", "test", "testing"))
_INSTALLED = ("site-packages", "dist-packages")
_SET_UP = (
    "setUp",
    "tearDown",
    "asyncSetUp",
    "asyncTearDown",
    "setup_method",
    "teardown_method",
)

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
        self._known: dict[str, bool] = {}
        self.harness = txprof.Harness(self.is_suite, is_script=self._modules.__contains__)

    def collected(self, items: Iterable[pytest.Item]) -> None:
        """Now it is known which modules hold tests."""
        self._modules.update(str(item.path) for item in items if isinstance(item, pytest.Function))
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
        unittest = sys.modules.get("unittest")
        owner = getattr(item, "cls", None)
        if unittest is not None and owner is not None and issubclass(owner, unittest.TestCase):
            for name in _SET_UP:
                method = getattr(owner, name, None)
                if method is not None:
                    self.harness.add(method, aside=True)
        self.harness.keepers(lambda: _keepers(item), besides=_PYTEST)
        self.harness.take_over()


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
