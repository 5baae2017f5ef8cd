"""A profile: what one profiled run yields, as a reader sees it."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable
from os import PathLike
from typing import IO, TYPE_CHECKING, Any

from txprof.model import Site

if TYPE_CHECKING:
    from datetime import datetime

    from txprof.found import Finding
    from txprof.profiled import FunctionProfile, PoolProfile
    from txprof.ran import Exemplar, Query
    from txprof.recorded import FunctionRow, Recorded
    from txprof.settings import Settings


class Profile:
    """What one profiled run yields; live while the run goes on.

    Made by `txprof.profile`, `txprof.load` and `txprof.merge`.
    """

    def __init__(self, source: Callable[[], Recorded], settings: Settings | None = None) -> None:
        self._source = source
        self._settings = settings
        self._final: Recorded | None = None
        self._judged: tuple[Settings, tuple[Finding, ...]] | None = None
        self._unreturned: Callable[[], list[Finding]] = list
        self._visits: Callable[[], int] = int

    @classmethod
    def of(cls, recorded: Recorded, settings: Settings | None = None) -> Profile:
        """A profile of a run that is over."""
        profile = cls(lambda: recorded, settings)
        profile._final = recorded
        return profile

    def finish(self) -> None:
        """The run is over: keep what there is, ask no more."""
        if self._final is None:
            self._final = self._source()

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self._final is not None

    @property
    def recorded(self) -> Recorded:
        """The aggregates behind everything else: as plain data, up to this moment."""
        return self._final if self._final is not None else self._source()

    @property
    def settings(self) -> Settings:
        """The settings that it is judged and rendered by."""
        from txprof.settings import current

        return self._settings if self._settings is not None else current()

    @property
    def name(self) -> str:
        """The profiled function's name, or the block's; several, of merged runs, by commas."""
        return ", ".join(self.recorded.names)

    @property
    def started_at(self) -> datetime | None:
        """When it began, in UTC; None if no recording tells (line_profiler's does not)."""
        from datetime import UTC, datetime

        started = self.recorded.started_at
        return None if started is None else datetime.fromtimestamp(started, tz=UTC)

    @property
    def seconds(self) -> float | None:
        """Wall time of the profiled calls or of the block, summed over concurrent ones.

        None if no recording tells: line_profiler's does not.
        """
        return self.recorded.seconds

    @property
    def functions(self) -> list[FunctionProfile]:
        """The line-profiled functions, the one that took longest first."""
        recorded = self.recorded
        work = _work_by_line(recorded)
        found = [
            _function_profile(row, work.get((row.file, row.function), {}))
            for row in recorded.functions
        ]
        return sorted(found, key=lambda function: (-function.seconds, function.site))

    @property
    def findings(self) -> list[Finding]:
        """What the rules found: errors first, then by the time it cost."""
        from txprof import rules

        recorded, settings = self.recorded, self.settings
        if recorded is not self._final:
            return rules.judge(recorded, settings)
        # A run that is over is judged once: reports ask again and again.
        if self._judged is None or self._judged[0] != settings:
            self._judged = (settings, tuple(rules.judge(recorded, settings)))
        return list(self._judged[1])

    @property
    def queries(self) -> list[Query]:
        """The statements that ran, by text and the lines that sent them; the longest first."""
        rows = sorted(self.recorded.statements, key=lambda row: (-row.seconds, row.path))
        if not rows:
            return []
        from txprof.ran import Query

        return [Query(row.statement, row.path, row.count, row.seconds, row.longest) for row in rows]

    @property
    def external_calls(self) -> int:
        """How many external calls were seen, whether they are findings or not."""
        return sum(row.count for row in self.recorded.external_calls)

    @property
    def visits(self) -> int:
        """With a harness: how many of its calls into the application ran a statement or a call."""
        return self._visits()

    def unreturned(self) -> list[Finding]:
        """Connections taken while it ran, with a harness, that are out now: ask when it is over.

        While it ran, a Session's connection might yet be given back by the harness's tear-down.
        """
        return self._unreturned()

    def ask(
        self,
        *,
        visits: Callable[[], int],
        unreturned: Callable[[], list[Finding]] = list,
    ) -> None:
        """Who knows these two."""
        self._unreturned, self._visits = unreturned, visits

    @property
    def pools(self) -> list[PoolProfile]:
        """The connection pools that were used, by engine."""
        from txprof.pool.profiles import profiles

        return profiles(self.recorded)

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """The slowest transactions that ended so far, whole; the slowest first.

        As many as the setting `exemplars` says: of merged runs, the smallest of theirs.
        """
        return tuple(row.exemplar() for row in self.recorded.exemplars)

    def render(self, format: str = "text", **options: Any) -> str:
        """The report in a format of `txprof report`; `options` are the renderer's."""
        from txprof.report import render

        return render(self, format, **options)

    def print(self, file: IO[str] | None = None, **options: Any) -> None:
        """The annotated report, to a file or to stdout, as wide and colourful as that is."""
        from txprof.report import print_report

        print_report(self, file if file is not None else sys.stdout, **options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write a recording, which `txprof.load` and `txprof report` read.

        With a name that ends in `.lprof`, write hits and line times for line_profiler.
        """
        from txprof.recording import save

        save(self.recorded, path)

    def to_dict(self) -> dict[str, Any]:
        """Everything a report shows, as JSON-ready data."""
        from dataclasses import asdict  # not for `import txprof`

        started = self.started_at
        return {
            "name": self.name,
            "started_at": None if started is None else started.isoformat(),
            "seconds": self.seconds,
            "functions": [
                {
                    **{
                        key: value
                        for key, value in asdict(function).items()
                        if key not in ("site", "lines")
                    },
                    "site": function.site._asdict(),
                    "lines": [asdict(line) for line in function.lines.values()],
                }
                for function in self.functions
            ],
            "findings": [
                {**_plain(asdict(finding)), "site": finding.site._asdict()}
                for finding in self.findings
            ],
            "pools": [_plain(asdict(pool)) for pool in self.pools],
            "exemplars": [_plain(asdict(exemplar)) for exemplar in self.exemplars],
        }

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        from txprof.report.notebook import fragment

        return fragment(self)

    def __repr__(self) -> str:
        seconds = self.seconds
        spent = "" if seconds is None else f": {seconds:.3f} s"
        return f"<txprof.Profile {self.name!r}{spent}>"


def _plain(value: Any) -> Any:
    from txprof.ran import TimedCall, TimedStatement

    if isinstance(value, Site | TimedStatement | TimedCall):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class _Work:
    """Queries and external calls of one line."""

    __slots__ = ("call_seconds", "calls", "queries", "query_seconds")

    def __init__(self) -> None:
        self.queries = 0
        self.query_seconds = 0.0
        self.calls = 0
        self.call_seconds = 0.0


_Function = tuple[str, str]
"""Its file and name."""


def _work_by_line(recorded: Recorded) -> dict[_Function, dict[int, _Work]]:
    """What each line of each function sent and called, itself or in what it called."""
    work: dict[_Function, dict[int, _Work]] = defaultdict(lambda: defaultdict(_Work))
    for statement in recorded.statements:
        for site in set(statement.path):  # recursion may go through a line twice
            done = work[site.file, site.function][site.line]
            done.queries += statement.count
            done.query_seconds += statement.seconds
    for call in recorded.external_calls:
        for site in set(call.path):
            done = work[site.file, site.function][site.line]
            done.calls += call.count
            done.call_seconds += call.seconds
    return work


def _function_profile(row: FunctionRow, work: dict[int, _Work]) -> FunctionProfile:
    from txprof.profiled import FunctionProfile, LineProfile

    # Where no held time was measured, nothing was watched: not 0 queries, but nobody knows.
    nothing = None if row.held_seconds is None else _Work()
    source = row.source or []
    lines = {}
    for line in row.lines:
        done = work.get(line.line) or nothing
        index = line.line - row.first_line
        lines[line.line] = LineProfile(
            line=line.line,
            source=source[index] if 0 <= index < len(source) else "",
            hits=line.hits,
            seconds=line.seconds,
            await_seconds=line.await_seconds,
            held_seconds=line.held_seconds,
            transaction_seconds=line.transaction_seconds,
            queries=done.queries if done else None,
            query_seconds=done.query_seconds if done else None,
            external_calls=done.calls if done else None,
            external_seconds=done.call_seconds if done else None,
        )
    return FunctionProfile(
        site=Site(row.file, row.first_line, row.function),
        calls=row.calls,
        seconds=math.fsum(line.seconds for line in row.lines),
        held_seconds=row.held_seconds,
        transaction_seconds=row.transaction_seconds,
        lines=lines,
        note=row.note,
    )
