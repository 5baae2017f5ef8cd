"""Settings: defaults < [tool.txprof] in pyproject.toml < TXPROF_* variables < arguments.

A setting nobody knows is an error that names it, so that a typing mistake cannot switch a rule
off in silence.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from txprof.compiled import SWITCH
from txprof.model import CALL_RULES, KINDS
from txprof.plain import Plain

ON_FINDING = ("log", "raise", "ignore")
REPORT = ("exit", "call")
COLOR = ("auto", "always", "never")
LINES = ("auto",)
LOCKS = ("off", "inspect")

_PREFIX = "TXPROF_"
_RAW_PREFIX: Any = _PREFIX if os.name == "nt" else os.fsencode(_PREFIX)


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Settings(Plain):
    """Every setting, with its default."""

    on_finding: str | Callable[..., Any] = "log"
    """What to do when a rule fires: log it, raise, ignore it, or call this with the finding."""
    raise_rules: tuple[str, ...] = ()
    """Under on_finding="raise": the rules that raise; none named: all of them."""
    lines: str | None = None
    """auto: functions that were seen to open a transaction or a hold are line-profiled too."""
    report: str | None = "exit"
    """When a decorated function reports to stderr: at exit, after each outermost call, or never."""
    application: tuple[str, ...] = ()
    """Installed packages, or folders, to count as application code."""
    kinds: tuple[str, ...] = ()
    """Kinds of external call of your own, so that `allow_kinds` can name them."""
    allow_kinds: tuple[str, ...] = ()
    """Kinds of external call that are no finding: "cache", or for one rule "io-while-held:mail"."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be called: "localhost:4566", "*.internal"; a pattern without port is any."""
    deny_kinds: tuple[str, ...] = ()
    """Kinds that are findings whatever `allow_hosts` and `allow_if` say."""
    deny_hosts: tuple[str, ...] = ()
    """Hosts that are, whatever `allow_kinds`, `allow_hosts` and `allow_if` say."""
    min_ms: tuple[str, ...] = ()
    """Milliseconds that calls of a kind must take to be a finding: "cache=5"."""
    redact: str | Callable[[str, str], str | None] | None = None
    """What to keep of the texts of targets, statements and engines: see docs/privacy.md."""
    url_query: bool = False
    """Keep the query of URLs in targets. It often carries keys: off by default."""
    sockets: bool = False
    """See what clients that txprof does not know send over sockets, too."""
    disable: tuple[str, ...] = ()
    """Rules that are switched off."""
    severity: tuple[str, ...] = ()
    """Severities other than a rule's own: "write-loop=warning", "io-in-transaction:cache=info"."""
    n_plus_one_parents: int = 2
    """A lazy relationship loaded for so many parents in one entry is an n-plus-one."""
    n_plus_one_attributes: int = 5
    """So are so many rows whose expired or deferred attribute is loaded one by one."""
    n_plus_one_selects: int = 5
    """And one SELECT shape that runs so many times from one call path."""
    write_loop_statements: int = 10
    """So many INSERTs, UPDATEs or DELETEs of one shape, row by row from one line, are a loop."""
    idle_ms: float = 100.0
    """A transaction that sat so long without a statement is idle, in milliseconds."""
    long_transaction_ms: float = 1_000.0
    """One that stayed open so long is long, in milliseconds."""
    pool_wait_ms: float = 100.0
    """A checkout that waited so long for a connection of the pool is a pool-wait."""
    locks: str = "off"
    """inspect: ask the server, over a connection of our own, who waits for a transaction."""
    critical_ms: float = 50.0
    """A line that took longer than this is red, in milliseconds (rack-lineprof's CRITICAL)."""
    warning_ms: float = 5.0
    """Longer than this: yellow (rack-lineprof's WARNING)."""
    nominal_ms: float = 0.2
    """Longer than this: plain; below, dim (rack-lineprof's NOMINAL)."""
    context_lines: int = 2
    """Lines shown around each line that matters (rack-lineprof's CONTEXT)."""
    color: str = "auto"
    """Colours in the report: auto (a terminal, and no NO_COLOR), always, never."""
    exemplars: int = 20
    """So many of the slowest transactions are kept whole, statement by statement; 0: none."""
    children: bool = False
    """`txprof run` also watches the Python programs that the program runs as subprocesses."""
    flush_seconds: float = 5.0
    """So often each process under `txprof run` writes down what it has so far; 0: at its end."""
    max_rows: int = 20_000
    """Distinct statements, and external calls, kept apart in one profile; the rest is summed."""

    def __init__(self, **given: Any) -> None:
        for name, default in _DEFAULTS.items():
            value = _checked(name, given.pop(name)) if name in given else default
            object.__setattr__(self, name, value)
        if given:
            raise TypeError(f"Settings() got an unknown setting {min(given)!r}")
        for setting_name in ("allow_kinds", "deny_kinds"):
            for kind in getattr(self, setting_name):
                self._require_kind(setting_name, split_rule(kind)[1])
        for kind in minima(self.min_ms):
            self._require_kind("min_ms", kind)

    def __hash__(self) -> int:
        # Of some that differ. Of all it took longer than the rest of what each test of a suite asks
        # of settings (benchmarks/plugin.py).
        return hash((self.on_finding, self.lines, self.application, self.disable))

    def _require_kind(self, setting_name: str, kind: str) -> None:
        known = (*KINDS, *self.kinds)
        if kind not in known:
            raise ValueError(
                f"{setting_name}: unknown kind {kind!r}; known are {', '.join(known)}. "
                "Name kinds of your own in the setting `kinds`."
            )

    def with_arguments(self, arguments: Mapping[str, Any]) -> Settings:
        """These settings with keyword arguments over them; TypeError for an unknown name."""
        try:
            return _replaced(self, tuple(arguments.items()))
        except TypeError:  # a list cannot be hashed; or one that names what is not allowed
            for name in arguments:
                _require_known(name, TypeError, "profile() got an unknown setting")
            return replace(self, **arguments)


@functools.lru_cache(maxsize=64)
def _replaced(settings: Settings, arguments: tuple[tuple[str, Any], ...]) -> Settings:
    return replace(settings, **dict(arguments))


_DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in fields(Settings)}
_CHOICES: dict[str, tuple[str, ...]] = {
    "on_finding": ON_FINDING,
    "report": REPORT,
    "color": COLOR,
    "lines": LINES,
    "locks": LOCKS,
}
_PLUGINS = ("pytest",)
"""Tables in [tool.txprof] that a plugin reads: it knows what may stand there."""

_MAY_BE_NONE = ("report", "lines", "redact")
# Compiled by `re` with its first use: not each time that a test suite starts.
_FUNCTION = r"\w+(\.\w+)*:\w+(\.\w+)*"
_KIND = r"[a-z][a-z0-9_-]*"


def current() -> Settings:
    """The settings of this process, read once a working directory and set of variables."""
    return _load(os.getcwd(), _variables())


def _variables() -> tuple[tuple[str, str], ...]:
    """Ours among the environment's, in order."""
    # Each test of a suite asks, and there are none as a rule: `os.environ` decodes every name that
    # it hands out, so what it has them from is looked at first (benchmarks/plugin.py).
    raw = getattr(os.environ, "_data", None)  # private
    if type(raw) is dict and _RAW_PREFIX not in _RAW_PREFIX[:0].join(raw):
        return ()
    names = sorted(name for name in os.environ if name.startswith(_PREFIX) and name != SWITCH)
    return tuple((name, os.environ[name]) for name in names)


def enabled() -> bool:
    """False under TXPROF=0: decorators return the function itself, blocks record nothing."""
    return os.environ.get("TXPROF", "1").strip().lower() not in ("0", "false", "off", "no")


@functools.cache
def project_root(directory: str | None = None) -> Path:
    """The folder that holds pyproject.toml or .git, from the working directory upwards."""
    start = Path(directory or os.getcwd())
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return folder
    return start


@functools.lru_cache(maxsize=16)
def _load(directory: str, environment: tuple[tuple[str, str], ...]) -> Settings:
    values = {**_from_pyproject(project_root(directory)), **_from_environment(environment)}
    return Settings(**values)


def _from_pyproject(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    if not path.is_file():
        return {}
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    table = document.get("tool", {}).get("txprof", {})
    if not isinstance(table, dict):
        raise ValueError(f"{path}: [tool.txprof] must be a table")
    table = {name: value for name, value in table.items() if name not in _PLUGINS}
    for name, value in table.items():
        place = f"{path}: [tool.txprof] has an unknown setting"
        _require_known(name, ValueError, place)
        _checked(name, value, place=f"{path}: [tool.txprof]: ")
    return table


def _from_environment(environment: Iterable[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environment:
        name = variable.removeprefix(_PREFIX).lower()
        _require_known(name, ValueError, f"the variable {variable} sets an unknown setting")
        values[name] = _checked(name, _parsed(name, text), place=f"the variable {variable}: ")
    return values


def _require_known(name: str, error: type[Exception], place: str) -> None:
    if name not in _DEFAULTS:
        import difflib

        near = difflib.get_close_matches(name, _DEFAULTS, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise error(f"{place}: {name!r}{meant}; known are {', '.join(_DEFAULTS)}")


def _parsed(name: str, text: str) -> Any:
    default = _DEFAULTS[name]
    text = text.strip()
    if isinstance(default, bool):
        return {"1": True, "true": True, "0": False, "false": False}.get(text.lower(), text)
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError:
            return text
    if isinstance(default, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return None if name in _MAY_BE_NONE and text.lower() in ("", "none") else text


def _checked(name: str, value: Any, place: str = "") -> Any:
    """The value as the setting's type, or an error that says what is allowed."""
    default = _DEFAULTS.get(name)
    choices = _CHOICES.get(name)
    if name == "redact":
        return _checked_redact(value, place)
    if choices is not None:
        also = " or a callable" if name == "on_finding" else ""
        also = " or None" if name in _MAY_BE_NONE else also
        if (name == "on_finding" and callable(value)) or (name in _MAY_BE_NONE and value is None):
            return value
        if not isinstance(value, str):
            raise TypeError(f"{place}{name} must be one of {_listed(choices)}{also}, not {value!r}")
        if value not in choices:
            raise ValueError(
                f"{place}{name} must be one of {_listed(choices)}{also}, not {value!r}"
            )
        return value
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{place}{name} must be true or false, not {value!r}")
        return value
    if isinstance(default, tuple):
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise TypeError(f"{place}{name} must be a list of strings, not {value!r}")
        for part in value:
            if not isinstance(part, str):
                raise TypeError(f"{place}{name} must be a list of strings, not {value!r}")
            if name == "kinds":
                check_kind(part)
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{place}{name} must be a number, not {value!r}")
    if isinstance(default, int) and not isinstance(value, int):
        raise TypeError(f"{place}{name} must be a whole number, not {value!r}")
    if value < 0:
        raise ValueError(f"{place}{name} must be 0 or more, not {value!r}")
    return value


def _checked_redact(value: Any, place: str) -> Any:
    if value is None or callable(value):
        return value
    what = f"{place}redact must be 'module:function', or a function of (kind, text)"
    if not isinstance(value, str):
        raise TypeError(f"{what}, not {value!r}")
    if not re.fullmatch(_FUNCTION, value):
        raise ValueError(f"{what}, not {value!r}")
    return value


def split_rule(entry: str) -> tuple[str | None, str]:
    """("io-while-held", "mail") of "io-while-held:mail"; (None, "mail") of "mail"."""
    rule, colon, rest = entry.partition(":")
    return (rule, rest) if colon and rule in CALL_RULES else (None, entry)


@functools.lru_cache(maxsize=64)
def minima(entries: tuple[str, ...]) -> dict[str, float]:
    """Seconds by kind, of "cache=5" in milliseconds."""
    found = {}
    for entry in entries:
        kind, _, milliseconds = entry.partition("=")
        try:
            found[kind] = float(milliseconds) / 1e3
        except ValueError:
            raise ValueError(
                f"min_ms: {entry!r} must be 'kind=milliseconds', such as 'cache=5'"
            ) from None
    return found


def check_kind(kind: object) -> str:
    """The kind, if it is one of `model.KINDS` or a word of the user's own."""
    if not isinstance(kind, str):
        raise TypeError(f"kind must be a string, not {kind!r}")
    if not re.fullmatch(_KIND, kind):
        raise ValueError(
            f"unknown kind {kind!r}: one of {', '.join(KINDS)}, or a word of your own "
            "(a-z, 0-9, - and _)"
        )
    return kind


def _listed(choices: Iterable[str]) -> str:
    return ", ".join(repr(choice) for choice in choices)
