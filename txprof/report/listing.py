"""Which lines of a function to show, and what was open at each. Formats write them down."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from txprof.model import CallPath, Finding, LineProfile, State
from txprof.recorded import FunctionRow, Recorded
from txprof.results import Profile

Level = Literal["critical", "warning", "nominal", "context"]
Mark = Literal["", "begin", "middle", "end", "only"]


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


def listing(profile: Profile, row: FunctionRow, lines: dict[int, LineProfile]) -> list[Line]:
    """The lines of one function worth showing, as rack-lineprof chooses them.

    Those that took time, ran a statement, made a call or have a finding, with `context_lines`
    around them, and the first.
    """
    settings = profile.settings
    findings: dict[int, list[Finding]] = defaultdict(list)
    for finding in profile.findings:
        if finding.site.file == row.file and finding.site.function == row.function:
            findings[finding.site.line].append(finding)
    source = row.source or []
    numbers = range(row.first_line, row.first_line + len(source))
    states = _states(profile.recorded, row, lines, numbers)
    chosen = _chosen(profile, lines, findings, numbers)
    shown = []
    previous = None
    for number in chosen:
        line = lines.get(number)
        milliseconds = line.seconds * 1e3 if line is not None else 0.0
        level: Level = "context"
        if milliseconds > settings.critical_ms:
            level = "critical"
        elif milliseconds > settings.warning_ms:
            level = "warning"
        elif milliseconds > settings.nominal_ms:
            level = "nominal"
        shown.append(
            Line(
                number=number,
                code=source[number - row.first_line],
                profile=line,
                level=level,
                state=states[number],
                mark=_mark(states, number),
                findings=tuple(findings.get(number, ())),
                after_gap=previous is not None and number > previous + 1,
            )
        )
        previous = number
    return shown


def _chosen(
    profile: Profile,
    lines: dict[int, LineProfile],
    findings: dict[int, list[Finding]],
    numbers: range,
) -> list[int]:
    settings = profile.settings
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
    recorded: Recorded, row: FunctionRow, lines: dict[int, LineProfile], numbers: range
) -> dict[int, State]:
    """What was open at each line: for most of its time, or at any statement or call it made."""
    states: dict[int, State] = dict.fromkeys(numbers, "free")
    for number, line in lines.items():
        if line.transaction_seconds is not None and line.transaction_seconds > line.seconds / 2:
            states[number] = "transaction"
        elif line.held_seconds is not None and line.held_seconds > line.seconds / 2:
            states[number] = "held"
    for path, state in _evidence(recorded):
        for site in path:
            if site.file == row.file and site.function == row.function and site.line in states:
                states[site.line] = _stronger(states[site.line], state)
    _fill(states, lines, numbers)
    return states


def _evidence(recorded: Recorded) -> list[tuple[CallPath, State]]:
    return [(row.path, row.state) for row in recorded.statements] + [
        (row.path, row.state) for row in recorded.external_calls
    ]


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
