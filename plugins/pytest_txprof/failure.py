"""How findings read in a failing test: what, where, since when open, what to change."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import txprof

_CONTEXT = 2
"""Lines around the site, and around the line that opened, as the annotated report has them."""

_NEAR = 12
"""Lines between the two up to which they are shown in one piece."""

_PATH = 4
"""Application frames of a call path that are shown without -vv: the outermost and the innermost."""

_STATEMENTS = 10


class Shown:
    """Files as the reader of this run knows them: relative to the root directory."""

    def __init__(self, root: Path, *, full: bool) -> None:
        self._root = str(root) + os.sep
        self.full = full
        """-vv: nothing is cut."""

    def file(self, file: str) -> str:
        return file.removeprefix(self._root).replace(os.sep, "/")

    def is_below(self, file: str) -> bool:
        return file.startswith(self._root)

    def place(self, site: txprof.Site) -> str:
        """app/batch.py:44 process"""
        return f"{self.file(site.file)}:{site.line} {site.function}"

    def one_line(self, finding: txprof.Finding) -> str:
        """For the short summary."""
        return f"{finding.rule} {self.place(finding.site)}: {finding.message}"

    def finding(self, finding: txprof.Finding) -> list[str]:
        """The finding, with the lines around it."""
        details = finding.details
        cost = f" ×{finding.count}"
        if finding.seconds is not None:
            cost += f", {_duration(finding.seconds)}"
        lines = [f"{self.one_line(finding)}{cost}"]
        opened = details.get("transaction_site") or details.get("hold_site")
        what = str(details.get("call", finding.message))
        lines += _excerpt(finding.site, opened, f"{finding.rule}: {what} ×{finding.count}")
        if opened is not None:
            word = "the transaction" if details.get("transaction_site") else "the connection"
            lines.append(f"  {word} is open since {self.place(opened)}")
        statement = details.get("statement")
        if statement:
            lines.append(f"  statement: {statement if self.full else _cut(str(statement), 160)}")
        path = self._path(details.get("call_path") or ())
        if path:
            lines.append(f"  called by way of {path}")
        if details.get("locked_tables"):
            lines.append(f"  locked meanwhile: {', '.join(details['locked_tables'])}")
        lines.append(f"  → {finding.hint}")
        return lines

    def findings(self, findings: Iterable[txprof.Finding]) -> str:
        """All of them, a blank line between."""
        return "\n\n".join("\n".join(self.finding(finding)) for finding in findings)

    def queries(self, queries: Sequence[txprof.Query]) -> list[str]:
        """The statements behind a limit that was passed: how often, how long, from which line."""
        shown = queries if self.full else queries[:_STATEMENTS]
        lines = []
        for query in shown:
            text = " ".join(query.statement.split())
            place = "?" if query.site is None else self.place(query.site)
            lines.append(
                f"  {query.count}× {_duration(query.seconds)}  {place}\n"
                f"      {text if self.full else _cut(text, 160)}"
            )
        more = len(queries) - len(shown)
        return lines + ([f"  and {more} more (-vv shows them)"] if more else [])

    def _path(self, path: Sequence[str]) -> str:
        if not self.full and len(path) > _PATH:
            half = _PATH // 2
            path = [*path[:half], "…", *path[-half:]]
        return " > ".join(path)


def _excerpt(site: txprof.Site, opened: Any, note: str) -> Iterator[str]:
    """The lines around the site, from the one that opened on if that is near, in a gutter."""
    lines = linecache.getlines(site.file)
    if not 0 < site.line <= len(lines):
        return
    first = site.line - _CONTEXT
    since = None
    if opened is not None and opened.file == site.file and 0 < opened.line <= site.line:
        since = opened.line
        if site.line - since <= _NEAR:
            first = since - _CONTEXT
    first = max(first, 1)
    last = min(site.line + _CONTEXT, len(lines))
    block = [lines[number - 1].rstrip().expandtabs(8) for number in range(first, last + 1)]
    indent = min((len(line) - len(line.lstrip()) for line in block if line), default=0)
    for number, line in enumerate(block, first):
        gutter = "┃" if since is not None and since <= number <= site.line else " "
        mark = ">" if number == site.line else " "
        yield f"  {mark} {number:>5} {gutter} {line[indent:]}".rstrip()
        if number == site.line:
            yield f"          {gutter} ▲ {note}"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.9995 else f"{seconds * 1e3:.1f} ms"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
