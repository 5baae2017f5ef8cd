"""Two profiles side by side: what was fixed, what is new, what moved. Pure; `difference` shows it.

Runs are rarely of one length, so amounts are compared per profiled call (per run, where a recording
has no calls).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from txprof.found import Finding
from txprof.profiled import FunctionProfile
from txprof.results import Profile
from txprof.rules.external_io import relative

NOTABLE_SECONDS = 0.001
NOTABLE_SHARE = 0.2
"""A time moved if it did by so many seconds a call, and by this share of the larger."""


@dataclass(frozen=True, slots=True)
class Change:
    """An amount before and after, per call; None where it was not measured."""

    before: float | None
    after: float | None

    @property
    def difference(self) -> float:
        return (self.after or 0.0) - (self.before or 0.0)

    @property
    def share(self) -> float | None:
        """How much more, as a share of before: -0.5 is half; None if there is nothing to share."""
        if not self.before or self.after is None:
            return None
        return self.after / self.before - 1

    @property
    def notable(self) -> bool:
        larger = max(self.before or 0.0, self.after or 0.0)
        return abs(self.difference) >= max(NOTABLE_SECONDS, NOTABLE_SHARE * larger)


@dataclass(frozen=True, slots=True)
class Kept:
    """A finding of both: as it is now, its count and its seconds per call."""

    finding: Finding
    count: Change
    seconds: Change


@dataclass(frozen=True, slots=True)
class LineChange:
    """A line of a function by its text; its number is None where it is not there."""

    text: str
    before: int | None
    after: int | None
    seconds: Change


@dataclass(frozen=True, slots=True)
class FunctionChange:
    """A function of either, by file and name."""

    file: str
    function: str
    seconds: Change
    held: Change
    transaction: Change
    queries: Change
    external: Change
    lines: tuple[LineChange, ...]


@dataclass(frozen=True, slots=True)
class PoolChange:
    """A pool of either, by engine: seconds held per checkout, waits and timeouts per call."""

    engine: str
    held: Change
    waits: Change
    timeouts: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the findings, functions and pools of `before`."""

    before: Profile
    after: Profile
    unit: str
    fixed: tuple[Finding, ...] = ()
    new: tuple[Finding, ...] = ()
    kept: tuple[Kept, ...] = ()
    functions: tuple[FunctionChange, ...] = ()
    pools: tuple[PoolChange, ...] = ()
    notes: tuple[str, ...] = field(default=())


def compare(before: Profile, after: Profile) -> Comparison:
    """The comparison of two profiles."""
    by_call = bool(before.recorded.calls and after.recorded.calls)
    units = [
        float(one.recorded.calls or 0) if by_call else float(one.recorded.runs)
        for one in (before, after)
    ]
    old, new = _by_fingerprint(before.findings), _by_fingerprint(after.findings)
    both = [name for name in new if name in old]
    notes = [
        f"{which} was not judged: line_profiler records line times, no connections and calls"
        for which, profile in (("before", before), ("after", after))
        if not profile.recorded.watched
    ]
    return Comparison(
        before=before,
        after=after,
        unit="call" if by_call else "run",
        fixed=tuple(old[name][0] for name in old if name not in new),
        new=tuple(new[name][0] for name in new if name not in old),
        kept=tuple(_kept(old[name], new[name], units) for name in both),
        functions=tuple(_functions(before.functions, after.functions, units)),
        pools=tuple(_pools(before, after, units)),
        notes=tuple(notes),
    )


def _by_fingerprint(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    # Two lines of a function that do the same share one.
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        found[finding.fingerprint].append(finding)
    return found


def _kept(old: list[Finding], new: list[Finding], units: Sequence[float]) -> Kept:
    counts = [float(sum(finding.count for finding in each)) for each in (old, new)]
    seconds: list[float | None] = []
    for each in (old, new):
        measured = [finding.seconds for finding in each if finding.seconds is not None]
        seconds.append(sum(measured) if measured else None)
    return Kept(new[0], _per(counts, units), _per(seconds, units))


def _per(amounts: Sequence[float | None], units: Sequence[float]) -> Change:
    before, after = (
        None if amount is None else amount / (unit or 1.0)
        for amount, unit in zip(amounts, units, strict=True)
    )
    return Change(before, after)


@dataclass(slots=True)
class _Total:
    """A function, all its versions in one recording added up."""

    calls: float = 0.0
    amounts: dict[str, float | None] = field(default_factory=dict)
    lines: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)

    def add(self, function: FunctionProfile) -> None:
        self.calls += function.calls or 0
        lines = function.lines.values()
        queries = [line.queries for line in lines if line.queries is not None]
        external = [line.external_seconds for line in lines if line.external_seconds is not None]
        for name, amount in (
            ("seconds", function.seconds),
            ("held", function.held_seconds),
            ("transaction", function.transaction_seconds),
            ("queries", float(sum(queries)) if queries else None),
            ("external", sum(external) if external else None),
        ):
            known = self.amounts.get(name)
            self.amounts[name] = amount if known is None else known + (amount or 0.0)
        seen: Counter[str] = Counter()
        for line in lines:
            text = line.source.strip()
            key = (text, seen[text])
            seen[text] += 1
            self.lines[key] = (line.line, self.lines.get(key, (0, 0.0))[1] + line.seconds)


def _functions(
    before: Sequence[FunctionProfile], after: Sequence[FunctionProfile], units: Sequence[float]
) -> list[FunctionChange]:
    totals: dict[tuple[str, str], tuple[_Total, _Total]] = defaultdict(lambda: (_Total(), _Total()))
    for index, functions in enumerate((before, after)):
        for function in functions:
            key = (relative(function.site.file), function.site.function)
            totals[key][index].add(function)
    changes = [_function(key, both, units) for key, both in totals.items()]
    return sorted(changes, key=lambda change: (-abs(change.seconds.difference), change.file))


def _function(
    key: tuple[str, str], both: tuple[_Total, _Total], units: Sequence[float]
) -> FunctionChange:
    # Per call of the function; what is not called (or not counted) is measured by the run's.
    calls = [total.calls or unit for total, unit in zip(both, units, strict=True)]

    def amount(name: str) -> Change:
        return _per([total.amounts.get(name) for total in both], calls)

    lines = []
    for text, occurrence in {**both[0].lines, **both[1].lines}:
        old, new = (total.lines.get((text, occurrence)) for total in both)
        lines.append(
            LineChange(
                text,
                old and old[0],
                new and new[0],
                _per([None if one is None else one[1] for one in (old, new)], calls),
            )
        )
    lines.sort(key=lambda line: -abs(line.seconds.difference))
    return FunctionChange(
        *key,
        seconds=amount("seconds"),
        held=amount("held"),
        transaction=amount("transaction"),
        queries=amount("queries"),
        external=amount("external"),
        lines=tuple(line for line in lines if line.seconds.notable),
    )


def _pools(before: Profile, after: Profile, units: Sequence[float]) -> list[PoolChange]:
    old, new = ({pool.engine: pool for pool in profile.pools} for profile in (before, after))
    changes = []
    for engine in sorted({*old, *new}):
        pools = (old.get(engine), new.get(engine))
        changes.append(
            PoolChange(
                engine,
                held=_per(
                    [pool.held_seconds if pool else None for pool in pools],
                    [float(pool.checkouts) if pool else 1.0 for pool in pools],
                ),
                waits=_per([None if pool is None else float(pool.waits) for pool in pools], units),
                timeouts=_per(
                    [None if pool is None else float(pool.timeouts) for pool in pools], units
                ),
            )
        )
    return changes


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it got worse, and why; `told` says it in a line."""

    worse: bool
    told: str


def verdict(
    comparison: Comparison, failed: Sequence[Finding], slower: float | None = None
) -> Verdict:
    """Worse: new findings that the gate names, or a function that holds for longer.

    `failed` are those of the new findings that fail; `slower` is by how much more, in percent, a
    function may hold a connection per call.
    """
    reasons = []
    if failed:
        reasons.append(f"{len(failed)} new finding{'s' if len(failed) > 1 else ''}")
    for change in comparison.functions:
        share = change.held.share
        if slower is not None and share is not None and change.held.notable:
            percent = share * 100
            if percent > slower:
                reasons.append(f"{change.function} holds a connection for {percent:.0f} % longer")
    fixed = len(comparison.fixed)
    if reasons:
        return Verdict(True, "worse: " + ", ".join(reasons))
    if fixed:
        return Verdict(False, f"better: {fixed} finding{'s' if fixed > 1 else ''} fixed")
    return Verdict(False, "no worse")
