"""The annotated report for a terminal, a pipe or a CI log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from txprof.found import Finding
from txprof.profiled import PoolProfile
from txprof.report.listing import Line, Listing, Listings, notes
from txprof.report.pools import pool_details
from txprof.report.styled import Styled, folded, highlighted, wrapped
from txprof.report.words import (
    NO_FINDINGS,
    NOT_JUDGED,
    cell,
    cost,
    counted,
    dedented,
    duration,
    headline,
    line_time,
    pool_parts,
    rest,
    what,
)
from txprof.rules.external_io import relative

if TYPE_CHECKING:
    from txprof.results import Profile

_UNLIMITED = 10_000
_MESSAGE_WIDTH = 110  # where nothing limits the width, messages still wrap here
_NARROWEST = 40
_LINES_TO_COLOR = 3_000
"""So many lines of source have their syntax in colour: of the functions that took longest."""

_STYLES = {"critical": "red", "warning": "yellow", "nominal": "", "context": "dim"}
SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_GUTTER = {
    "transaction": {"begin": "┏", "middle": "┃", "end": "┗", "only": "┃"},
    "held": {"begin": "┌", "middle": "│", "end": "└", "only": "│"},
}
_BAR = {"transaction": "┃", "held": "│"}


def render(
    profile: Profile, *, width: int | None = None, color: bool = False, unicode: bool = True
) -> str:
    """The report; `width` in columns (None: as wide as the code is), `unicode` for box art."""
    report = _Report(profile, max(_NARROWEST, width) if width else None, unicode, color)
    lines = (line.ready(report.width, unicode=unicode) for line in report.lines())
    return "".join([f"{line.ansi if color else line.plain}\n" for line in lines])


def annotated(profile: Profile, listing: Listing, *, width: int | None = None) -> str:
    """The lines of one function, as the report has them, without colour."""
    report = _Report(profile, width, True, False)
    lines = report.function(listing, alone=False)
    return "".join([f"{line.ready(width, unicode=True).plain}\n" for line in lines])


class _Report:
    def __init__(self, profile: Profile, width: int | None, unicode: bool, color: bool) -> None:
        self.profile = profile
        self.unicode = unicode
        self.color = color
        self.recorded = profile.recorded
        self.width = width
        narrow = width is not None and width < 100
        self.columns = (9, 6, 8, 9) if narrow else (11, 7, 8, 10)
        self.lines_to_color = _LINES_TO_COLOR
        self.indent = 4 if narrow else 11  # of an annotation, from the gutter

    def lines(self) -> Iterator[Styled]:
        header = Styled("txprof ── ").append(self.profile.name, "bold").append(" ── ")
        parts = headline(self.profile, self.profile.functions)
        yield from wrapped(parts, self.width, first=header, indent=7)
        listings = list(Listings(self.profile))
        for listing in listings:
            yield Styled()
            # line_profiler's recordings are named by their files: say which function it is.
            alone = len(listings) == 1 and self.recorded.watched
            yield from self.function(listing, alone=alone)
        yield Styled()
        findings = self.profile.findings
        for finding in findings:
            yield from self._finding(finding)
        if not self.recorded.watched:
            yield Styled(NOT_JUDGED)
        elif not findings:
            yield Styled(NO_FINDINGS)
        for pool in self.profile.pools:
            yield from self._pool(pool)

    # A function's listing.

    def function(self, listing: Listing, *, alone: bool) -> Iterator[Styled]:
        function, row = listing.function, listing.row
        site = function.site
        head = Styled(relative(site.file), "bold")
        if not alone:
            held = function.held_seconds
            head.append(f"  {site.function}")
            if function.calls:
                head.append(f" · {counted(function.calls, 'call')}")
            head.append(f" · {duration(function.seconds)}")
            if held:
                head.append(f" · held {duration(held)}")
        yield head
        for note in notes(listing):
            yield Styled(f"  ({note})", "dim")
        if row.source is None or not function.lines:
            return
        code = self._code(row.source if self.width is None else dedented(row.source))
        time, hits, db, external = self.columns
        yield Styled(
            f"{'time':>{time}}{'hits':>{hits}}{'db':>{db}}{'external':>{external}}{'line':>9}",
            "dim",
        )
        for line in listing.lines:
            if line.after_gap:
                yield Styled(" " * (sum(self.columns) + 5) + "...", "dim")
            yield self._line(line, code[line.number - row.first_line])
            for finding in line.findings:
                yield from self._annotation(line, finding)

    def _code(self, source: list[str]) -> list[list[tuple[str, str]]]:
        source = [line.expandtabs(8) for line in source]
        self.lines_to_color -= len(source)
        if self.color and self.lines_to_color >= 0:
            return highlighted(source)
        return [[(line, "")] for line in source]

    def _line(self, line: Line, code: list[tuple[str, str]]) -> Styled:
        time, hits, db, external = self.columns
        profile = line.profile
        style = _STYLES[line.level]
        text = Styled()
        if profile is not None and profile.hits:
            text.append(line_time(profile.seconds).rjust(time), style)
            text.append(str(profile.hits).rjust(hits), style)
            text.append(cell(profile.query_seconds, profile.queries).rjust(db), "cyan")
            text.append(
                cell(profile.external_seconds, profile.external_calls).rjust(external), "magenta"
            )
        else:
            text.append(" " * sum(self.columns))
        text.append("  ")
        gutter = _GUTTER[line.state][line.mark] if line.state != "free" else " "
        text.append(gutter, "bold red" if line.state == "transaction" else "yellow")
        text.append(f"{line.number:>5}  ", style)
        text.append_source(code)
        return text

    def _annotation(self, line: Line, finding: Finding) -> Iterator[Styled]:
        inside = line.mark in ("begin", "middle")
        gutter = _BAR[line.state] if inside and line.state != "free" else " "
        margin = " " * (sum(self.columns) + 2)
        gutter_style = "bold red" if line.state == "transaction" else "yellow"
        style = SEVERITY_STYLES[finding.severity]
        text = f"{finding.rule}: {what(finding)} ×{finding.count:,}"
        room = (self.width or _UNLIMITED) - len(margin) - 1 - self.indent - 2
        for index, part in enumerate(folded(text, room)):
            shown = Styled(margin).append(gutter, gutter_style)
            yield shown.append(" " * self.indent + ("  " if index else "▲ ") + part, style)

    # The summary.

    def _finding(self, finding: Finding) -> Iterator[Styled]:
        site = finding.site
        place = f"{os.path.basename(site.file)}:{site.line} {site.function}"
        head = f"{finding.severity:<9}{finding.rule + ' ':<19}{place}   "
        width = self.width or _MESSAGE_WIDTH
        text = f"{head}{what(finding)} {cost(finding)}{rest(finding)}"
        first, *others = folded(text, width, indent=9)
        rule_ends = 9 + len(finding.rule)
        yield (
            Styled(first[:9], SEVERITY_STYLES[finding.severity])
            .append(first[9:rule_ends], "bold")
            .append(first[rule_ends:])
        )
        for part in others:
            yield Styled(part)
        for part in folded(f"         → {finding.hint}", width, indent=11):
            yield Styled(part, "green")

    def _pool(self, pool: PoolProfile) -> list[Styled]:
        parts = pool_parts(pool)
        if len(self.profile.pools) > 1:
            parts.append(pool.engine)
        lines = wrapped(parts, self.width, first=Styled("pool", "bold").append(" " * 5), indent=9)
        for detail in pool_details(pool):
            lines += wrapped(detail.split(" · "), self.width, first=Styled(), indent=18)
        return lines
