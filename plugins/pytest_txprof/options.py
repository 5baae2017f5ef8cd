"""What can be chosen, where, and who wins: `LAYERS`, top down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_txprof.known import Known
    from pytest_txprof.recordings import Recordings

LAYERS = ("marker", "command line", "ini", "pyproject", "default")
"""Where a choice is looked for; the first that has it wins (tests/plugin/test_precedence.py).

marker: `@pytest.mark.txprof(mode="warn")`, on the test or above it. command line: `--txprof-mode`.
ini: `txprof_mode` where pytest's settings are. pyproject: `mode` in `[tool.txprof.pytest]`.
"""

MODES = ("fail", "warn", "report")
STYLES = ("fail", "raise")
RULES = ("io-in-transaction", "n-plus-one", "connection-leak", "pool-timeout")
ALL = "all"

Parse = Callable[[object], Any]
"""A value as it was written -> as it is used; TypeError or ValueError that says what is allowed."""


class Option:
    """A choice. `name` is "mode" of `--txprof-mode`, `txprof_mode`, and `mode` elsewhere.

    Args:
        of_test: whether a marker may choose it for one test.
        metavar: None for a flag.
    """

    # Plain: it is defined each time that pytest starts, in whichever project. Dataclasses and named
    # tuples compile code for that.
    __slots__ = ("default", "help", "is_list", "metavar", "name", "of_test", "parse")

    def __init__(
        self,
        name: str,
        parse: Parse,
        default: Any,
        help: str,
        *,
        of_test: bool = False,
        is_list: bool = False,
        metavar: str | None = None,
    ) -> None:
        self.name = name
        self.parse = parse
        self.default = default
        self.help = help
        self.of_test = of_test
        self.is_list = is_list
        self.metavar = metavar

    @property
    def flag(self) -> str:
        return f"--txprof-{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        return f"txprof_{self.name}"


def one_of(*words: str) -> Parse:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {value!r}")
        return str(value)

    return parse


def strings(value: object) -> tuple[str, ...]:
    parts = value.replace("\n", ",").split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise TypeError(f"must be names with commas between, or a list of them, not {value!r}")
    return tuple(part.strip() for part in parts if part.strip())


def rules(value: object) -> tuple[str, ...] | None:
    """Names of rules; None for all of them."""
    names = strings(value)
    if names == (ALL,):
        return None
    import txprof

    for name in names:
        txprof.allow(name, reason="to know whether there is such a rule")
    return names


def yes_or_no(value: object) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "1", "yes", "on"):
        return True
    if isinstance(value, str) and value.lower() in ("false", "0", "no", "off", ""):
        return False
    if not isinstance(value, bool):
        raise TypeError(f"must be true or false, not {value!r}")
    return value


def path(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a path, not {value!r}")
    return value


OPTIONS = (
    Option(
        "mode",
        one_of(*MODES),
        "fail",
        "what a finding does to its test: fail it, warn, or only report (default: fail)",
        of_test=True,
        metavar="{fail,warn,report}",
    ),
    Option(
        "rules",
        rules,
        RULES,
        f"the rules that do, with commas between, or all (default: {','.join(RULES)})",
        of_test=True,
        metavar="RULES",
    ),
    Option(
        "on_finding",
        one_of(*STYLES),
        "fail",
        "fail: the test runs to its end. raise: an external call that breaks one of the rules "
        "raises before it goes out (default: fail)",
        of_test=True,
        metavar="{fail,raise}",
    ),
    Option(
        "lines",
        one_of("off", "auto"),
        "off",
        "auto: line-profile the functions that open a transaction, CPython 3.12 and newer "
        "(default: off)",
        of_test=True,
        metavar="{off,auto}",
    ),
    Option(
        "baseline",
        path,
        None,
        "a file of known findings, which fail no test",
        metavar="FILE",
    ),
    Option("update_baseline", yes_or_no, False, "write the findings of this run to that file"),
    Option(
        "strict_baseline",
        yes_or_no,
        False,
        "fail the run if the file has entries that no longer occur",
    ),
    Option("save", path, None, "keep a recording of each test in this folder", metavar="DIR"),
    Option(
        "report",
        strings,
        (),
        "write the report of all tests to a file; its suffix tells the format (repeatable)",
        is_list=True,
        metavar="FILE",
    ),
    Option(
        "harness",
        strings,
        (),
        "more files that are the test suite's and not the application's, as shell patterns below "
        "the root directory (repeatable)",
        is_list=True,
        metavar="PATTERN",
    ),
)
_BY_NAME = {option.name: option for option in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    """On the command line, and in the ini file."""
    group = parser.getgroup("txprof", "transaction hygiene (txprof)")
    group.addoption(
        "--txprof",
        action="store_true",
        default=False,
        help="watch every test: fail those whose application does I/O in a transaction",
    )
    parser.addini("txprof", "watch every test, as --txprof does", type="bool", default=False)
    for option in OPTIONS:
        more: dict[str, Any] = {"action": "store_true", "default": None}
        if option.metavar is not None:
            action = "append" if option.is_list else "store"
            more = {"action": action, "metavar": option.metavar, "default": None}
        group.addoption(option.flag, help=option.help, **more)
        parser.addini(option.ini, option.help.partition(" (")[0], default=None)


class Choices:
    """What is chosen for the run, and for each test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._of_run: dict[str, Any] = {}
        self._table = _pyproject(config.rootpath / "pyproject.toml")

    @classmethod
    def of(cls, config: pytest.Config) -> Choices:
        """The run's: pyproject.toml is read once."""
        choices = config.stash.get(_choices_key, None)
        if choices is None:
            choices = config.stash[_choices_key] = cls(config)
        return choices

    def of_run(self, name: str) -> Any:
        """A choice for all tests."""
        return self._first(_BY_NAME[name], None)

    def of_test(self, name: str, item: pytest.Item | None) -> Any:
        """A choice for one test; None stands for all that have no marker."""
        if item is not None:
            return self._first(_BY_NAME[name], item)
        if name not in self._of_run:
            self._of_run[name] = self.of_run(name)
        return self._of_run[name]

    # Most runs have neither file: what it takes to know them is imported where they do.

    @functools.cached_property
    def known(self) -> Known | None:
        """The file of known findings; None if no option names one."""
        if self.of_run("baseline") is None and not self.of_run("update_baseline"):
            return None
        from pytest_txprof.known import Known

        return Known.of(self, self._config.rootpath)

    def recordings(self) -> Recordings | None:
        """Who keeps recordings and reports; None if no option asks for one."""
        if self.of_run("save") is None and not self.of_run("report"):
            return None
        from pytest_txprof.recordings import Recordings

        return Recordings(self, self._config)

    def check(self) -> None:
        """UsageError for a value, of whatever layer, that is not allowed."""
        for option in OPTIONS:
            for layer in LAYERS[1:-1]:
                self._value(layer, option, None)

    def check_test(self, item: pytest.Item) -> None:
        """The same for a test's markers."""
        for marker in item.iter_markers("txprof"):
            if marker.args:
                raise pytest.UsageError(
                    f"{item.nodeid}: @pytest.mark.txprof takes names, as in mode='warn', not "
                    f"{marker.args[0]!r}"
                )
            _require_known(marker.kwargs, f"{item.nodeid}: @pytest.mark.txprof", of_test=True)
        for option in OPTIONS:
            if option.of_test:
                self._value("marker", option, item)

    def _first(self, option: Option, item: pytest.Item | None) -> Any:
        for layer in LAYERS[:-1]:
            found, value = self._value(layer, option, item)
            if found:
                return value
        return option.default

    def _value(self, layer: str, option: Option, item: pytest.Item | None) -> tuple[bool, Any]:
        """Whether a layer has the choice, and what it is."""
        for written, place in self._written(layer, option, item):
            if written is not None:
                try:
                    return True, option.parse(written)
                except (TypeError, ValueError) as error:
                    raise pytest.UsageError(f"{place} {error}") from None
        return False, None

    def _written(
        self, layer: str, option: Option, item: pytest.Item | None
    ) -> Iterator[tuple[Any, str]]:
        if layer == "marker" and item is not None and option.of_test:
            for marker in item.iter_markers("txprof"):  # the closest first
                place = f"{item.nodeid}: {option.name} of @pytest.mark.txprof"
                yield marker.kwargs.get(option.name), place
        elif layer == "command line":
            yield self._config.getoption(option.flag), option.flag
        elif layer == "ini":
            # An ini option that is not set is "" before pytest 9.
            yield self._config.getini(option.ini) or None, option.ini
        elif layer == "pyproject":
            yield self._table.get(option.name), f"{option.name} of [tool.txprof.pytest]"


_choices_key = pytest.StashKey[Choices]()


def _pyproject(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    import tomllib

    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise pytest.UsageError(f"{file}: cannot be read: {error}") from error
    tool = document.get("tool", {}).get("txprof", {})
    table = tool.get("pytest", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise pytest.UsageError(f"{file}: [tool.txprof.pytest] must be a table")
    _require_known(table, f"{file}: [tool.txprof.pytest]", of_test=False)
    return table


def _require_known(given: Mapping[str, Any], place: str, *, of_test: bool) -> None:
    known = [option.name for option in OPTIONS if option.of_test or not of_test]
    for name in given:
        if name not in known:
            raise pytest.UsageError(f"{place}: unknown {name!r}; known are {', '.join(known)}")
