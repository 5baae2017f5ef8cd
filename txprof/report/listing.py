"""Which lines of a function to show, and what was open at each. Formats write them down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from txprof.found import Finding
from txprof.model import Site, State
from txprof.profiled import FunctionProfile, LineProfile
from txprof.recorded import FunctionRow
from txprof.results import Profile
from txprof.settings import Settings

Level = Literal["critical", "warning", "nominal", "context"]
Mark = Literal["", "begin", "middle", "end", "only"]

_Function = tuple[str, str]
"""Its file and name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line to show. `profile` is None for a line that was never run."""

    number: int
    code: str
    profile: LineProfile | None
    level: Level
    state: State
    mark: Mark
    findings: tuple[Finding, ...]
    after_gap: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A profiled function with the lines of it that are worth showing; none without source."""

    function: FunctionProfile
    row: FunctionRow
    lines: tuple[Line, ...]


class Listings:
    """The functions of a profile, each with its lines: what they share is looked up once."""

    def __init__(self, profile: Profile) -> None:
        self._settings = profile.settings
        self._functions = profile.functions
        self._findings: dict[_Function, dict[int, list[Finding]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for finding in profile.findings:
            site = finding.site
            self._findings[site.file, site.function][site.line].append(finding)
        self._evidence: dict[_Function, dict[int, State]] = defaultdict(dict)
        recorded = profile.recorded
        seen = [(row.path, row.state) for row in recorded.statements]
        seen += [(row.path, row.state) for row in recorded.external_calls]
        for path, state in seen:
            if state != "free":
                for site in path:
                    states = self._evidence[site.file, site.function]
                    states[site.line] = _stronger(states.get(site.line, "free"), state)
        self._rows: dict[Site, list[FunctionRow]] = defaultdict(list)
        for function in recorded.functions:
            self._rows[Site(function.file, function.first_line, function.function)].append(function)

    def __iter__(self) -> Iterator[Listing]:
        """Those that were called, in the profile's order."""
        for function in self._functions:
            if function.calls or function.lines:
                row = self._row(function)
                yield Listing(function, row, tuple(self._lines(row, function.lines)))

    def _row(self, function: FunctionProfile) -> FunctionRow:
        """With its source. Of a function that was merged from several versions, that version's."""
        rows = self._rows[function.site]
        if len(rows) > 1:
            hits = [(line.line, line.hits) for line in function.lines.values()]
            for row in rows:
                if [(line.line, line.hits) for line in row.lines] == hits:
                    return row
        return rows[0]

    def _lines(self, row: FunctionRow, lines: dict[int, LineProfile]) -> Iterator[Line]:
        """Those worth showing, as rack-lineprof chooses them.

        Those that took time, ran a statement, made a call or have a finding, with `context_lines`
        around them, and the first.
        """
        if row.source is None or not lines:
            return
        key = (row.file, row.function)
        findings = self._findings.get(key, {})
        numbers = range(row.first_line, row.first_line + len(row.source))
        states = _states(self._evidence.get(key, {}), lines, numbers)
        previous = None
        for number in _chosen(self._settings, lines, findings, numbers):
            yield Line(
                number=number,
                code=row.source[number - row.first_line],
                profile=lines.get(number),
                level=_level(self._settings, lines.get(number)),
                state=states[number],
                mark=_mark(states, number),
                findings=tuple(findings.get(number, ())),
                after_gap=previous is not None and number > previous + 1,
            )
            previous = number


def _level(settings: Settings, line: LineProfile | None) -> Level:
    milliseconds = line.seconds * 1e3 if line is not None else 0.0
    if milliseconds > settings.critical_ms:
        return "critical"
    if milliseconds > settings.warning_ms:
        return "warning"
    return "nominal" if milliseconds > settings.nominal_ms else "context"


def _chosen(
    settings: Settings,
    lines: dict[int, LineProfile],
    findings: dict[int, list[Finding]],
    numbers: range,
) -> list[int]:
    matter = {
        number
        for number, line in lines.items()
        if line.seconds * 1e3 > settings.nominal_ms or line.queries or line.external_calls
    } | set(findings)
    if not matter:
        matter = set(lines)
    around = range(-settings.context_lines, settings.context_lines + 1)
    near = {number + offset for number in matter for offset in around}
    return [number for number in numbers if number in near or number == numbers.start]


def _states(
    evidence: dict[int, State], lines: dict[int, LineProfile], numbers: range
) -> dict[int, State]:
    """What was open at each line: for most of its time, or at any statement or call it made."""
    states: dict[int, State] = dict.fromkeys(numbers, "free")
    for number, line in lines.items():
        if line.transaction_seconds is not None and line.transaction_seconds > line.seconds / 2:
            states[number] = "transaction"
        elif line.held_seconds is not None and line.held_seconds > line.seconds / 2:
            states[number] = "held"
    for number, state in evidence.items():
        if number in states:
            states[number] = _stronger(states[number], state)
    _fill(states, lines, numbers)
    return states


_STRENGTH: tuple[State, ...] = ("free", "held", "transaction")


def _stronger(a: State, b: State) -> State:
    return max(a, b, key=_STRENGTH.index)


def _fill(states: dict[int, State], lines: dict[int, LineProfile], numbers: range) -> None:
    """Blank lines, comments and continuations between two marked lines are inside too."""
    last: int | None = None
    for number in numbers:
        if number not in lines:
            continue
        if last is not None and states[last] != "free" and states[number] != "free":
            weaker = min(states[last], states[number], key=_STRENGTH.index)
            for between in range(last + 1, number):
                states[between] = weaker
        last = number


def _mark(states: dict[int, State], number: int) -> Mark:
    if states[number] == "free":
        return ""
    before = states.get(number - 1, "free") != "free"
    after = states.get(number + 1, "free") != "free"
    if before and after:
        return "middle"
    if before:
        return "end"
    return "begin" if after else "only"


def notes(listing: Listing) -> Iterator[str]:
    """What keeps a listing from being complete, or from being what the file says now."""
    if listing.function.note:
        yield listing.function.note
    if listing.row.source is not None and _changed_since(listing.row):
        yield "the file changed since the run: the lines below are as they ran"


def _changed_since(row: FunctionRow) -> bool:
    import linecache

    linecache.checkcache(row.file)
    current = linecache.getlines(row.file)
    if not current:
        return not row.file.startswith("<")
    block = current[row.first_line - 1 : row.first_line - 1 + len(row.source or ())]
    return [line.rstrip("\r\n") for line in block] != row.source


def source_lines(profile: Profile) -> dict[Site, str]:
    """The text of each profiled line, as it ran."""
    return {
        Site(row.file, row.first_line + index, row.function): text
        for row in profile.recorded.functions
        for index, text in enumerate(row.source or ())
    }
