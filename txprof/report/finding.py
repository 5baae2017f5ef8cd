"""One finding in full: `txprof show`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from txprof.found import Finding
from txprof.model import CallPath, Site
from txprof.recorded import Recorded
from txprof.report.listing import Listings
from txprof.report.places import uri_path
from txprof.report.rulebook import entry
from txprof.report.styled import Styled, folded
from txprof.report.text import SEVERITY_STYLES, annotated
from txprof.report.words import cost, counted, duration, what
from txprof.results import Profile

_STATEMENTS = 10
_SITES = (
    ("transaction_site", "transaction opened"),
    ("hold_site", "connection taken"),
    ("before", "statement before"),
    ("after", "statement after"),
)
_FACTS = (
    ("target", "target"),
    ("statement", "statement"),
    ("option", "loader option"),
    ("engine", "engine"),
    ("longest", "longest"),
    ("external_seconds", "of it external calls"),
    ("entries", "entries"),
    ("most", "most in one entry"),
    ("distinct", "different parameters"),
    ("held_at_once", "held at once"),
)


def in_full(profile: Profile, findings: Sequence[Finding], width: int) -> Iterator[Styled]:
    """Everything that the profile knows of them, in so many columns; as a rule it is one."""
    listings = list(Listings(profile))
    for number, finding in enumerate(findings):
        if number:
            yield Styled()
        yield from _head(finding, width)
        yield from _section(width, "where", _where(finding))
        yield from _section(width, "call path", _path(profile.recorded, finding))
        yield from _section(width, "facts", _facts(finding.details))
        yield from _section(width, "locks", _locks(finding.details))
        yield from _section(width, "held by", _holders(finding.details))
        yield from _section(
            width, "statements of this function", _statements(profile.recorded, finding)
        )
        for listing in listings:
            site = listing.function.site
            if (site.file, site.function) == (finding.site.file, finding.site.function):
                yield Styled()
                for line in annotated(profile, listing, width=width).splitlines():
                    yield Styled(line)


def _head(finding: Finding, width: int) -> Iterator[Styled]:
    yield (
        Styled(finding.severity, SEVERITY_STYLES[finding.severity])
        .append("  ")
        .append(finding.rule, "bold")
        .append(f"  {finding.fingerprint}", "dim")
    )
    for line in folded(finding.message, width):
        yield Styled(line)
    yield Styled(f"{what(finding)} {cost(finding)}")
    yield Styled()
    for line in folded(entry(finding.rule).why, width):
        yield Styled(line, "dim")
    for line in folded(f"→ {finding.hint}", width, indent=2):
        yield Styled(line, "green")


def _section(width: int, title: str, lines: Sequence[str]) -> Iterator[Styled]:
    if lines:
        yield Styled()
        yield Styled(title, "bold")
        for line in lines:
            for part in folded(f"  {line}", width, indent=4):
                yield Styled(part)


def _where(finding: Finding) -> list[str]:
    found = [f"{'line to change':<20}{_at(finding.site)}"]
    for name, label in _SITES:
        site = finding.details.get(name)
        if isinstance(site, Site):
            found.append(f"{label:<20}{_at(site)}")
    return found


def _at(site: Site) -> str:
    return f"{uri_path(site.file)}:{site.line} {site.function}"


def _path(recorded: Recorded, finding: Finding) -> list[str]:
    """Outermost first, with whole file names where the recording still has that path."""
    shown = finding.details.get("call_path") or []
    for path in _paths(recorded):
        if finding.site in path and [_short(site) for site in reversed(path)] == shown:
            return [_at(site) for site in reversed(path)]
    return [str(step) for step in shown]


def _short(site: Site) -> str:
    from txprof.rules.external_io import located

    return located(site)


def _paths(recorded: Recorded) -> Iterator[CallPath]:
    for call in recorded.external_calls:
        yield call.path
    for burst in recorded.bursts:
        yield burst.path
    for idle in recorded.idle:
        yield idle.path
    for transaction in recorded.transactions:
        yield transaction.opened
    for checkout in recorded.checkouts:
        yield checkout.path


def _facts(details: dict[str, Any]) -> list[str]:
    facts = []
    for name, label in _FACTS:
        value = details.get(name)
        if value is None or value == "":
            continue
        seconds = name == "longest" or name.endswith("_seconds")
        facts.append(f"{label:<22}{duration(value) if seconds else value}")
    return facts


def _locks(details: dict[str, Any]) -> list[str]:
    found = []
    for lock in details.get("locks", ()):
        where = f" at {_at(lock['site'])}" if lock["site"] else ""
        found.append(f"{lock['table']}{where}: {lock['statement']}")
    inspected = details.get("inspected") or {}
    for waiter in inspected.get("waiting", ()):
        waited = f"{waiter['who']} waits for it since {duration(waiter['seconds'])}"
        found.append(f"{waited}: {waiter['statement']}")
    if inspected.get("skipped"):
        found.append(f"the server was not asked: {inspected['skipped']}")
    return found


def _holders(details: dict[str, Any]) -> list[str]:
    found = []
    for holder in details.get("holders", ()):
        line = f"{holder['owner']} for {duration(holder['seconds'])}"
        for name, label in (("taken_at", "taken at"), ("now_at", "now at")):
            if holder[name]:
                line += f", {label} {_at(holder[name])}"
        if holder["statement"]:
            line += f": {holder['statement']}"
        found.append(line)
    return found


def _statements(recorded: Recorded, finding: Finding) -> list[str]:
    """Those that its function sent, itself or in what it called; the slowest first."""
    site = finding.site
    rows = [
        row
        for row in recorded.statements
        if any((each.file, each.function) == (site.file, site.function) for each in row.path)
    ]
    rows.sort(key=lambda row: -row.seconds)
    shown = [
        f"{duration(row.seconds):>8}  ×{row.count:,}  line {_line(row.path, site)}  {row.statement}"
        for row in rows[:_STATEMENTS]
    ]
    more = len(rows) - _STATEMENTS
    return [*shown, f"and {counted(more, 'more statement')}"] if more > 0 else shown


def _line(path: CallPath, site: Site) -> int:
    return next(
        each.line for each in path if (each.file, each.function) == (site.file, site.function)
    )
