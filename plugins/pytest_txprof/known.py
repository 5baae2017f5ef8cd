"""The file of known findings: those that are still to be fixed, and those that may stay.

```toml
[[todo]]
fingerprint = "3f2a90c1d4e7"
rule = "io-in-transaction"
file = "app/batch.py"
function = "process"
target = "POST https://api.example.com/v1/chat"
test = "tests/test_batch.py::test_process"

[[allow]]
rule = "io-in-transaction"
file = "app/outbox/*.py"
reason = "the row and the call are one unit"
```
A `todo` is written by `--txprof-update-baseline`; a `reason` that somebody adds to it is kept. An
`allow` is written by hand: it matches by whatever it names, `file`, `function` and `target` as
shell patterns, and needs a reason.
"""

from __future__ import annotations

import fnmatch
import json
import os
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import txprof
from pytest_txprof.options import Choices

_HEAD = """\
# Known findings of txprof. Those in `todo` are written by `pytest --txprof-update-baseline`: fix
# the line, and its entry goes. What has to stay is moved to `allow`, with a reason.
"""
_KEYS = ("fingerprint", "rule", "file", "function", "target", "test", "reason")
_PATTERNS = ("rule", "file", "function", "target")


class Entry(NamedTuple):
    """One known finding, or, of an `allow`, a pattern of them; None is what it does not say."""

    section: str
    fingerprint: str | None = None
    rule: str | None = None
    file: str | None = None
    function: str | None = None
    target: str | None = None
    test: str | None = None
    reason: str | None = None

    def matches(self, finding: Mapping[str, Any]) -> bool:
        """Whether it is this finding (by `fingerprint`, `rule`, `file`, `function`, `target`)."""
        if self.fingerprint is not None:
            return bool(self.fingerprint == finding["fingerprint"])
        for name in _PATTERNS:
            pattern = getattr(self, name)
            if pattern is not None and not fnmatch.fnmatchcase(finding[name], pattern):
                return False
        return True

    @property
    def order(self) -> tuple[str, ...]:
        return tuple(
            getattr(self, name) or ""
            for name in ("file", "function", "rule", "target", "fingerprint")
        )

    def __str__(self) -> str:
        named = [getattr(self, name) for name in _PATTERNS if getattr(self, name)]
        return f"{self.section} {' '.join(named) or self.fingerprint}"


class Known:
    """What the file says."""

    def __init__(self, file: Path, entries: Iterable[Entry], root: Path) -> None:
        self.file = file
        self.entries = tuple(entries)
        self._root = str(root) + os.sep

    @classmethod
    def of(cls, choices: Choices, root: Path) -> Known:
        """As the options name it. One that is to be written need not be there yet."""
        name = choices.of_run("baseline")
        updates = choices.of_run("update_baseline")
        if name is None:
            raise pytest.UsageError("--txprof-update-baseline needs --txprof-baseline FILE")
        file = root / name
        if updates and not file.exists():
            return cls(file, (), root)
        return cls(file, read(file), root)

    def suppresses(self, finding: txprof.Finding) -> str | None:
        """Which entry lets the finding be, if one does."""
        details = finding.details
        told = {
            "fingerprint": finding.fingerprint,
            "rule": finding.rule,
            "file": finding.site.file.removeprefix(self._root).replace(os.sep, "/"),
            "function": finding.site.function,
            "target": str(details.get("target") or details.get("engine") or ""),
        }
        for entry in self.entries:
            if entry.matches(told):
                return str(entry)
        return None

    def stale(
        self, found: Sequence[Mapping[str, Any]], ran: Collection[str], *, whole: bool
    ) -> list[Entry]:
        """Entries that no longer occur, as far as these tests can tell.

        One that names a test is stale if that test ran, or if all did. `whole`: all tests ran.
        """
        return [
            entry
            for entry in self.entries
            if (whole or (entry.test is not None and entry.test in ran))
            and not any(entry.matches(finding) for finding in found)
        ]

    def too_wide(self, files: Collection[str]) -> list[Entry]:
        """Patterns that silence more than half of the application's files that were seen."""
        return [
            entry
            for entry in self.entries
            if entry.fingerprint is None
            and entry.function is None
            and entry.target is None
            and len(files) > 1
            and 2 * sum(fnmatch.fnmatchcase(file, entry.file or "*") for file in files) > len(files)
        ]

    def updated(self, found: Sequence[Mapping[str, Any]], stale: Collection[Entry]) -> list[Entry]:
        """The entries for a run with these findings: what is new is `todo`, what is stale goes.

        An `allow` stays: somebody wrote it.
        """
        kept = [e for e in self.entries if e.section == "allow" or e not in stale]
        todo: dict[str, Entry] = {}
        for finding in sorted(found, key=lambda each: str(each["test"])):
            if not any(entry.matches(finding) for entry in kept):
                entry = Entry("todo", **{name: finding[name] for name in _KEYS[:-1]})
                todo.setdefault(str(entry.fingerprint), entry)
        tests = {finding["fingerprint"]: finding["test"] for finding in reversed(list(found))}
        kept = [
            entry._replace(test=tests.get(entry.fingerprint, entry.test))
            if entry.section == "todo" and entry.test is None
            else entry
            for entry in kept
        ]
        return sorted([*kept, *todo.values()], key=lambda entry: (entry.section, entry.order))

    def write(self, entries: Iterable[Entry]) -> None:
        """Replace the file."""
        write(self.file, entries)


def read(file: Path) -> list[Entry]:
    """The entries of a file; UsageError names the place and what is wrong."""
    import tomllib

    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise pytest.UsageError(f"{file}: cannot be read: {error}") from error
    entries = []
    for section, tables in document.items():
        if section not in ("todo", "allow") or not isinstance(tables, list):
            raise pytest.UsageError(
                f"{file}: unknown {section!r}: there may be tables [[todo]] and [[allow]]"
            )
        for number, table in enumerate(tables, 1):
            entries.append(_entry(section, table, f"{file}: [[{section}]] number {number}"))
    return entries


def _entry(section: str, table: Any, place: str) -> Entry:
    for name, value in table.items():
        if name not in _KEYS:
            raise pytest.UsageError(f"{place}: unknown {name!r}; known are {', '.join(_KEYS)}")
        if not isinstance(value, str):
            raise pytest.UsageError(f"{place}: {name} must be a string, not {value!r}")
    if not any(table.get(name) for name in (*_PATTERNS, "fingerprint")):
        raise pytest.UsageError(f"{place}: must name a fingerprint, rule, file, function or target")
    if section == "allow" and not str(table.get("reason", "")).strip():
        raise pytest.UsageError(f"{place}: needs a reason that says why it may stay")
    if section == "todo" and "fingerprint" not in table:
        raise pytest.UsageError(f"{place}: needs a fingerprint; patterns are for [[allow]]")
    return Entry(section, **table)


def write(file: Path, entries: Iterable[Entry]) -> None:
    """Replace the file, at once or not at all."""
    text = _HEAD
    for entry in entries:
        text += f"\n[[{entry.section}]]\n"
        for name in _KEYS:
            value = getattr(entry, name)
            if value is not None:
                text += f"{name} = {_quoted(value)}\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _quoted(value: str) -> str:
    """A basic string of TOML: JSON's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
