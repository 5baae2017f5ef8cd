"""`txprof diff` as text, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from txprof.found import Finding
from txprof.report import markdown
from txprof.report.comparison import (
    Change,
    Comparison,
    FunctionChange,
    Kept,
    LineChange,
    PoolChange,
    Verdict,
)
from txprof.report.json import as_plain
from txprof.report.styled import Styled
from txprof.report.words import cost, counted, duration, headline, place, tally, what

FORMATS = ("text", "markdown", "json")
FORMAT = "txprof-diff"
VERSION = 1
_LINES = 10
"""Lines shown of a function: those that moved most."""


def text(comparison: Comparison, verdict: Verdict) -> Iterator[Styled]:
    """Lines for a terminal."""
    for which, profile in (("before", comparison.before), ("after", comparison.after)):
        parts = [profile.name, *headline(profile, profile.functions), tally(profile.findings)]
        yield Styled(f"{which:<9}", "bold").append(" · ".join(parts))
    for note in comparison.notes:
        yield Styled(f"         {note}", "dim")
    yield Styled()
    for label, style, findings in (
        ("new", "bold red", comparison.new),
        ("fixed", "bold green", comparison.fixed),
    ):
        for finding in findings:
            yield Styled(f"{label:<9}", style).append(_named(finding))
    for kept in comparison.kept:
        yield Styled(f"{'still':<9}", "yellow").append(_kept(kept, comparison.unit))
    if not (comparison.new or comparison.fixed or comparison.kept):
        yield Styled("no findings in either")
    for function in comparison.functions:
        yield Styled()
        yield Styled(f"{function.file}  {function.function}", "bold").append(", per call")
        for name, shown in _amounts(function):
            yield Styled(f"  {name:<18}").append(shown)
        for line in function.lines[:_LINES]:
            yield Styled(f"  {_number(line):>13}  {_times(line.seconds):<34}").append(line.text)
        more = len(function.lines) - _LINES
        if more > 0:
            yield Styled(f"{'and ' + counted(more, 'more line'):>15}", "dim")
    if comparison.pools:
        yield Styled()
    for pool in comparison.pools:
        yield Styled("pool     ", "bold").append(" · ".join(_pool(pool, comparison.unit)))
    yield Styled()
    yield Styled("verdict  ", "bold").append(verdict.told, "red" if verdict.worse else "green")


def as_markdown(comparison: Comparison, verdict: Verdict) -> str:
    """For a comment on a pull request."""
    parts = ["<!-- txprof diff -->", f"### txprof: {markdown.escaped(verdict.told)}", ""]
    rows = [
        *(("**new**", each, f"`{each.rule}`", cost(each)) for each in comparison.new),
        *(("fixed", each, f"`{each.rule}`", cost(each)) for each in comparison.fixed),
        *(
            ("still", each.finding, f"`{each.finding.rule}`", _moved(each, comparison.unit))
            for each in comparison.kept
        ),
    ]
    if rows:
        parts += ["| | rule | where | what | cost |", "|---|---|---|---|---|"]
    room = markdown.LIMIT // 2
    for number, (label, finding, rule, amount) in enumerate(rows):
        row = (
            f"| {label} | {rule} | {markdown.code(place(finding))} "
            f"{markdown.escaped(finding.site.function)} | {markdown.escaped(what(finding))} "
            f"| {amount} |"
        )
        room -= len(row)
        if room < 0:
            parts += ["", f"and {counted(len(rows) - number, 'more finding')}"]
            break
        parts.append(row)
    shown = [function for function in comparison.functions if function.lines]
    if shown:
        parts += ["", "| function | per call | before | after |", "|---|---|---|---|"]
    for function in shown[:20]:
        name = f"{markdown.code(function.file)} {markdown.escaped(function.function)}"
        for label, change in (("time", function.seconds), ("held", function.held)):
            parts.append(f"| {name} | {label} | {_time(change.before)} | {_time(change.after)} |")
            name = ""
    for note in comparison.notes:
        parts += ["", note]
    return "\n".join(parts) + "\n"


def as_json(comparison: Comparison, verdict: Verdict) -> str:
    """One document, versioned: docs/reports.md."""

    def plain(value: Any) -> Any:
        return as_plain(asdict(value))

    document = {
        "format": FORMAT,
        "version": VERSION,
        "worse": verdict.worse,
        "verdict": verdict.told,
        "unit": comparison.unit,
        "new": [plain(finding) for finding in comparison.new],
        "fixed": [plain(finding) for finding in comparison.fixed],
        "kept": [plain(kept) for kept in comparison.kept],
        "functions": [plain(function) for function in comparison.functions],
        "pools": [plain(pool) for pool in comparison.pools],
        "notes": list(comparison.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _named(finding: Finding, amount: str | None = None) -> str:
    where = f"{place(finding)} {finding.site.function}"
    shown = cost(finding) if amount is None else amount
    return f"{finding.severity:<8} {finding.rule:<19} {where}   {what(finding)} {shown}"


def _kept(kept: Kept, unit: str) -> str:
    return _named(kept.finding, _moved(kept, unit))


def _moved(kept: Kept, unit: str) -> str:
    moved = f"×{_number_of(kept.count.before)} → ×{_number_of(kept.count.after)} a {unit}"
    if kept.seconds.after is not None:
        moved += f", {_times(kept.seconds)}"
    return moved


def _amounts(function: FunctionChange) -> Iterator[tuple[str, str]]:
    for name, change in (
        ("time", function.seconds),
        ("connection held", function.held),
        ("in a transaction", function.transaction),
        ("external calls", function.external),
    ):
        if change.before or change.after:
            yield name, _times(change)
    if function.queries.before or function.queries.after:
        before, after = function.queries.before, function.queries.after
        yield "queries", f"{_number_of(before)} → {_number_of(after)}"


def _pool(pool: PoolChange, unit: str) -> list[str]:
    return [
        f"held {_times(pool.held)} a checkout",
        f"waits {_number_of(pool.waits.before)} → {_number_of(pool.waits.after)} a {unit}",
        f"timeouts {_number_of(pool.timeouts.before)} → {_number_of(pool.timeouts.after)} a {unit}",
        pool.engine,
    ]


def _times(change: Change) -> str:
    shown = f"{_time(change.before)} → {_time(change.after)}"
    share = change.share
    if share is None or abs(share) < 0.005:
        return shown
    return f"{shown} ({share:+.0%})".replace("%", " %").replace("-", "−")


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _number_of(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:,.4g}"


def _number(line: LineChange) -> str:
    if line.before == line.after or line.before is None or line.after is None:
        mark = "+" if line.before is None else "−" if line.after is None else ""
        return f"{mark}{line.after if line.after is not None else line.before}"
    return f"{line.before} → {line.after}"
