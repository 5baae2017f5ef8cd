"""The annotated report for a terminal, a pipe or a CI log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from txprof.model import Finding, FunctionProfile, PoolProfile
from txprof.recorded import FunctionRow
from txprof.report.listing import Line, listing
from txprof.report.pools import pool_details
from txprof.rules.external_io import relative

if TYPE_CHECKING:
    from txprof.results import Profile

_UNLIMITED = 10_000
_MESSAGE_WIDTH = 110  # where nothing limits the width, messages still wrap here
_NARROWEST = 40

_STYLES = {"critical": "red", "warning": "yellow", "nominal": "", "context": "dim"}
_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_ASCII = str.maketrans(
    {"─": "-", "·": "-", "×": "x", "→": ">", "▲": "^", "…": ".", "┃": "#", "│": "|"}
    | dict.fromkeys("┏┗", "#")
    | dict.fromkeys("┌└", "|")
)
_CONTROL = dict.fromkeys([*range(32), *range(127, 160)], "�")
"""A statement or a line of source must not talk to the terminal."""
_GUTTER = {
    "transaction": {"begin": "┏", "middle": "┃", "end": "┗", "only": "┃"},
    "held": {"begin": "┌", "middle": "│", "end": "└", "only": "│"},
}
_BAR = {"transaction": "┃", "held": "│"}


def render(
    profile: Profile, *, width: int | None = None, color: bool = False, unicode: bool = True
) -> str:
    """The report; `width` in columns (None: as wide as the code is), `unicode` for box art."""
    report = _Report(profile, max(_NARROWEST, width) if width else None, unicode=unicode)
    console = Console(
        width=_UNLIMITED,
        color_system="standard" if color else None,
        force_terminal=color,
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as captured:
        for line in report.lines():
            if report.width is not None:
                line.truncate(report.width, overflow="ellipsis" if unicode else "crop")
            line.rstrip()
            console.print(line, soft_wrap=True)
    return captured.get()


class _CodeLine(Text):
    """A line of the program behind our columns, which are the first `own` characters."""

    own = 0


class _Report:
    def __init__(self, profile: Profile, width: int | None, *, unicode: bool) -> None:
        self.profile = profile
        self.unicode = unicode
        self.recorded = profile.recorded
        self.findings = profile.findings
        self.functions = profile.functions
        self.width = width
        self.rows = {
            (row.file, row.first_line, row.function): row for row in self.recorded.functions
        }
        narrow = width is not None and width < 100
        self.columns = (9, 6, 8, 9) if narrow else (11, 7, 8, 10)
        self.indent = 4 if narrow else 11  # of an annotation, from the gutter

    def lines(self) -> Iterator[Text]:
        for line in self._lines():
            # Only our own signs: the program's source keeps its letters.
            own = len(line) if not isinstance(line, _CodeLine) else line.own
            plain = line.plain
            if not self.unicode:
                plain = plain[:own].translate(_ASCII) + plain[own:]
            line.plain = plain.translate(_CONTROL)
            yield line

    def _lines(self) -> Iterator[Text]:
        yield from self._wrapped(self._header(), " · ", indent=7)
        called = [function for function in self.functions if function.calls or function.lines]
        for function in called:
            yield Text()
            # line_profiler's recordings are named by their files: say which function it is.
            alone = len(called) == 1 and self.recorded.watched
            yield from self._function(function, alone=alone)
        yield Text()
        for finding in self.findings:
            yield from self._finding(finding)
        if not self.recorded.watched:
            yield Text("not judged: line_profiler records line times, no connections and calls")
        elif not self.findings:
            yield Text("no findings")
        for pool in self.profile.pools:
            yield from self._pool(pool)

    # The header: what was profiled, and what it cost.

    def _header(self) -> Text:
        recorded, functions = self.recorded, self.functions
        only = functions[0] if len(functions) == 1 else None
        calls = only.calls if only is not None else recorded.calls
        seconds = only.seconds if only is not None and only.lines else recorded.seconds
        held = only.held_seconds if only is not None else None
        parts = [f"{calls} call{_s(calls)}"] if calls else []
        if seconds is not None:
            parts.append(duration(seconds))
        if held is None:
            held = sum(pool.held_seconds for pool in self.profile.pools)
            share = ""
        else:
            share = f" ({held / seconds:.1%})".replace("%", " %") if seconds else ""
        if held or self.profile.pools:
            parts.append(f"connection held {duration(held)}{share}")
        if recorded.watched:
            queries = sum(row.count for row in recorded.statements)
            external = sum(row.count for row in recorded.external_calls)
            parts.append(f"{queries} quer{'y' if queries == 1 else 'ies'}")
            parts.append(f"{external} external call{_s(external)}")
        else:
            parts.append("line times only")
        header = Text("txprof ── ")
        header.append(self.profile.name, "bold")
        header.append(" ── " + " · ".join(parts))
        return header

    # A function's listing.

    def _function(self, function: FunctionProfile, *, alone: bool) -> Iterator[Text]:
        site = function.site
        head = Text(relative(site.file), "bold")
        if not alone:
            held = function.held_seconds
            head.append(f"  {site.function}")
            if function.calls:
                head.append(f" · {function.calls} call{_s(function.calls)}")
            head.append(f" · {duration(function.seconds)}")
            if held:
                head.append(f" · held {duration(held)}")
        yield head
        row = self.rows[site.file, site.line, site.function]
        for note in _notes(row, function):
            yield Text(f"  ({note})", "dim")
        if row.source is None or not function.lines:
            return
        code = _highlighted(row.source if self.width is None else dedented(row.source))
        time, hits, db, external = self.columns
        yield Text(
            f"{'time':>{time}}{'hits':>{hits}}{'db':>{db}}{'external':>{external}}{'line':>9}",
            "dim",
        )
        for line in listing(self.profile, row, function.lines):
            if line.after_gap:
                yield Text(" " * (sum(self.columns) + 5) + "...", "dim")
            yield self._line(line, code[line.number - row.first_line])
            for finding in line.findings:
                yield from self._annotation(line, finding)

    def _line(self, line: Line, code: Text) -> Text:
        time, hits, db, external = self.columns
        profile = line.profile
        style = _STYLES[line.level]
        text = _CodeLine()
        if profile is not None and profile.hits:
            text.append(_time(profile.seconds).rjust(time), style)
            text.append(str(profile.hits).rjust(hits), style)
            text.append(_cell(profile.query_seconds, profile.queries).rjust(db), "cyan")
            text.append(
                _cell(profile.external_seconds, profile.external_calls).rjust(external), "magenta"
            )
        else:
            text.append(" " * sum(self.columns))
        text.append("  ")
        gutter = _GUTTER[line.state][line.mark] if line.state != "free" else " "
        text.append(gutter, "bold red" if line.state == "transaction" else "yellow")
        text.append(f"{line.number:>5}  ", style)
        text.own = len(text)
        text.append_text(code)
        return text

    def _annotation(self, line: Line, finding: Finding) -> Iterator[Text]:
        inside = line.mark in ("begin", "middle")
        gutter = _BAR[line.state] if inside and line.state != "free" else " "
        margin = Text(" " * (sum(self.columns) + 2))
        margin.append(gutter, "bold red" if line.state == "transaction" else "yellow")
        margin.append(" " * self.indent)
        style = _SEVERITY_STYLES[finding.severity]
        text = f"{finding.rule}: {_what(finding)} ×{finding.count}"
        first = True
        for part in _fold(text, (self.width or _UNLIMITED) - len(margin) - 2):
            yield margin + Text("▲ " if first else "  ", style) + Text(part, style)
            first = False

    # The summary.

    def _finding(self, finding: Finding) -> Iterator[Text]:
        site = finding.site
        what = _what(finding)
        cost = f" ×{finding.count}"
        if finding.seconds is not None:
            cost += f", {duration(finding.seconds)}"
        rest = finding.message.removeprefix(what).removeprefix(f" {finding.count} times")
        place = f"{os.path.basename(site.file)}:{site.line} {site.function}"
        head = f"{finding.severity:<9}{finding.rule + ' ':<19}{place}   "
        style = _SEVERITY_STYLES[finding.severity]
        parts = _fold(f"{head}{what}{cost}{rest}", self.width or _MESSAGE_WIDTH, indent=9)
        for index, part in enumerate(parts):
            line = Text(part)
            if index == 0:
                line.stylize(style, 0, len(finding.severity))
                line.stylize("bold", 9, 9 + len(finding.rule))
            yield line
        for part in _fold(f"         → {finding.hint}", self.width or _MESSAGE_WIDTH, indent=11):
            yield Text(part, "green")

    def _pool(self, pool: PoolProfile) -> Iterator[Text]:
        parts = [f"size {pool.size}"] if pool.size is not None else []
        parts.append(f"peak busy {pool.peak_busy}")
        waited = f"waited {pool.waits}×"
        if pool.waits:
            waited += f" (max {duration(pool.longest_wait)})"
        parts += [waited, f"timeouts {pool.timeouts}"]
        if len(self.profile.pools) > 1:
            parts.append(pool.engine)
        line = Text(f"{'pool':<9}" + " · ".join(parts))
        line.stylize("bold", 0, 4)
        yield from self._wrapped(line, " · ", indent=9)
        for detail in pool_details(pool):
            yield from self._wrapped(Text(detail), " · ", indent=18)

    def _wrapped(self, line: Text, separator: str, indent: int) -> Iterator[Text]:
        """A line, broken at separators where it is wider than the report."""
        if self.width is None or len(line) <= self.width:
            yield line
            return
        pieces = line.split(separator)
        current = pieces[0]
        for piece in pieces[1:]:
            if len(current) + len(separator) + len(piece) > self.width:
                yield current
                current = Text(" " * indent) + piece
            else:
                current = current + Text(separator) + piece
        yield current


def duration(seconds: float) -> str:
    """6.42 s, 84 ms, 0.3 ms"""
    if seconds >= 100:
        return f"{seconds:.0f} s"
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1e3:.1f} ms"


def _time(seconds: float) -> str:
    """Of many tasks that wait side by side the decimal would not fit the column."""
    milliseconds = seconds * 1e3
    return f"{milliseconds:.1f}ms" if milliseconds < 99_999.95 else f"{milliseconds:.0f}ms"


def _cell(seconds: float | None, count: int | None) -> str:
    if not count or seconds is None:
        return ""
    milliseconds = seconds * 1e3
    return f"{milliseconds:.0f}ms" if milliseconds >= 99.95 else f"{milliseconds:.1f}ms"


def _what(finding: Finding) -> str:
    return str(finding.details.get("call", finding.message))


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _notes(row: FunctionRow, function: FunctionProfile) -> Iterator[str]:
    if function.note:
        yield function.note
    if row.source is not None and _changed_since(row):
        yield "the file changed since the run: the lines below are as they ran"


def _changed_since(row: FunctionRow) -> bool:
    import linecache

    linecache.checkcache(row.file)
    current = linecache.getlines(row.file)
    if not current:
        return not row.file.startswith("<")
    block = current[row.first_line - 1 : row.first_line - 1 + len(row.source or ())]
    return [line.rstrip("\r\n") for line in block] != row.source


def dedented(source: list[str]) -> list[str]:
    """A method's lines without the indentation of its `def`: columns are dear."""
    first = source[0]
    indent = first[: len(first) - len(first.lstrip())]
    return [line.removeprefix(indent) for line in source]


def _highlighted(source: list[str]) -> list[Text]:
    syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
    text = syntax.highlight("\n".join(line.expandtabs(8) for line in source))
    lines = list(text.split("\n", allow_blank=True))
    if len(lines) < len(source):  # pygments strips blank lines at the ends
        return [Text(line.expandtabs(8)) for line in source]
    for line in lines:
        line.rstrip()
    return lines


def _fold(text: str, width: int, indent: int = 0) -> list[str]:
    import textwrap

    return textwrap.wrap(
        text,
        max(width, 20),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    ) or [""]
