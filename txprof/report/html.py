"""The report as one self-contained page: no network, and nothing that the program said runs.

jinja2 writes it with autoescape; what may run and style it is named by hash in a
Content-Security-Policy. Everything is in the page without its script, which filters, sorts and
reads the timeline out.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from txprof.found import Finding
from txprof.model import Site
from txprof.pool.whatif import compare
from txprof.pool.workload import NotEnough
from txprof.profiled import PoolProfile
from txprof.report import whatif
from txprof.report.listing import Line, Listing, Listings, notes
from txprof.report.places import uri_path
from txprof.report.sizes import LABEL, drawings, legend
from txprof.report.timeline import groups
from txprof.report.use import HEIGHT, WIDTH, stretches
from txprof.report.words import (
    NOT_JUDGED,
    cell,
    cost,
    counted,
    dedented,
    duration,
    headline,
    line_time,
    tally,
    what,
)

if TYPE_CHECKING:
    from txprof.results import Profile

_FOLDER = Path(__file__).parent / "page"
_OPEN = 3
"""Functions whose lines are unfolded at first: those that took longest."""

_LEVELS = {"critical": "c", "warning": "w", "nominal": "n", "context": "d"}
_STATES = {"transaction": "in a transaction", "held": "connection held", "free": ""}
_GUTTERS = {"transaction": "t", "held": "h"}
_MARKS = {"begin": "b", "middle": "m", "end": "e", "only": "m"}
_FACTS = {
    "target": "target",
    "statement": "statement",
    "option": "loader option",
    "transaction_site": "transaction opened",
    "hold_site": "connection taken",
    "before": "statement before",
    "after": "statement after",
    "engine": "engine",
}


class _Note(NamedTuple):
    id: str
    severity: str
    text: str


class _Row(NamedTuple):
    id: str
    level: str
    time: str
    hits: str
    db: str
    external: str
    gutter: str
    bar: str
    state: str
    number: int
    code: str
    gap: bool
    notes: list[_Note]


def render(profile: Profile, *, simulate: bool = False) -> str:
    """The page; with what pools of other sizes would do, if `simulate` is set."""
    from txprof import __version__

    findings = profile.findings
    listings = list(Listings(profile))
    ids = {id(finding): f"finding-{number}" for number, finding in enumerate(findings, 1)}
    anchors = _anchors(listings)
    timeline = groups(profile.exemplars)
    started = profile.started_at
    style, script = (
        Markup((_FOLDER / name).read_text(encoding="utf-8")) for name in ("report.css", "report.js")
    )
    rules = Counter(finding.rule for finding in findings)
    return (
        environment()
        .get_template("report.html")
        .render(
            policy=_policy(style, script),
            style=style,
            script=script,
            version=__version__,
            name=profile.name,
            headline=" · ".join(headline(profile, profile.functions)),
            started_at=None if started is None else f"{started:%Y-%m-%d %H:%M:%S} UTC",
            runs=profile.recorded.runs,
            judged=profile.recorded.watched,
            not_judged=NOT_JUDGED,
            tally=tally(findings) if profile.recorded.watched else NOT_JUDGED,
            rules=sorted(rules.items()),
            findings=[_finding(finding, ids, anchors) for finding in findings],
            groups=timeline,
            transactions=len(profile.exemplars),
            listings=[_listing(number, listing, ids) for number, listing in enumerate(listings)],
            open=_OPEN,
            pools=[_pool(pool) for pool in profile.pools],
            uses=[use for use in map(_use, profile.pools) if use["stretches"]],
            use=(WIDTH, HEIGHT),
            simulated=list(_simulated(profile)) if simulate else [],
            label=LABEL,
        )
    )


def environment() -> Environment:
    """That of the templates in `page/`."""
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def _policy(style: str, script: str) -> str:
    """This style and this script, and nothing else: no network, no frames, no forms."""

    def named(text: str) -> str:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return f"'sha256-{digest}'"

    return (
        f"default-src 'none'; style-src {named(style)}; script-src {named(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


# Findings.


def _finding(
    finding: Finding, ids: Mapping[int, str], anchors: Mapping[Site, str]
) -> dict[str, Any]:
    site = finding.site
    shown = f"{uri_path(site.file)}:{site.line}"
    return {
        "id": ids[id(finding)],
        "rule": finding.rule,
        "severity": finding.severity,
        "seconds": finding.seconds or 0.0,
        "count": finding.count,
        "place": f"{uri_path(site.file)}:{site.line:08}",
        "what": what(finding),
        "cost": cost(finding),
        "shown": shown,
        "function": site.function,
        "line": anchors.get(site),
        "message": finding.message,
        "hint": _parts(finding.hint),
        "facts": [*_facts(finding), ("fingerprint", [finding.fingerprint])],
    }


def _parts(text: str) -> list[tuple[bool, str]]:
    """What is code in a sentence, in backquotes, and what is not."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one of them is not closed
        return [(False, text)]
    return [(bool(number % 2), part) for number, part in enumerate(parts) if part]


def _facts(finding: Finding) -> Iterator[tuple[str, list[str]]]:
    details = finding.details
    if details.get("call_path"):
        yield "call path", [" > ".join(map(str, details["call_path"]))]
    for name, label in _FACTS.items():
        value = details.get(name)
        if value:
            yield label, [_at(value) if isinstance(value, Site) else str(value)]
    if details.get("locks"):
        yield (
            "locks",
            [
                f"{lock['table']}{' at ' + _at(lock['site']) if lock['site'] else ''}: "
                f"{lock['statement']}"
                for lock in details["locks"]
            ],
        )
    waiting = (details.get("inspected") or {}).get("waiting")
    if waiting:
        yield (
            "waited for it",
            [f"{one['who']} for {duration(one['seconds'])}: {one['statement']}" for one in waiting],
        )
    if details.get("holders"):
        yield "held by", [_holder(holder) for holder in details["holders"]]


def _holder(holder: Mapping[str, Any]) -> str:
    told = f"{holder['owner']} for {duration(holder['seconds'])}"
    for name, label in (("taken_at", "taken at"), ("now_at", "now at")):
        if holder[name]:
            told += f", {label} {_at(holder[name])}"
    return told + (f": {holder['statement']}" if holder["statement"] else "")


def _at(site: Site) -> str:
    return f"{uri_path(site.file)}:{site.line} {site.function}"


# Lines.


def _anchors(listings: Iterable[Listing]) -> dict[Site, str]:
    """Where in the page a line is."""
    return {
        Site(listing.row.file, line.number, listing.row.function): f"f{index}-{line.number}"
        for index, listing in enumerate(listings)
        for line in listing.lines
    }


def _listing(index: int, listing: Listing, ids: Mapping[int, str]) -> dict[str, Any]:
    function, row = listing.function, listing.row
    code = dedented(row.source) if row.source else []
    amounts = [counted(function.calls, "call")] if function.calls else []
    amounts.append(duration(function.seconds))
    if function.held_seconds:
        amounts.append(f"held {duration(function.held_seconds)}")
    found = sum(len(line.findings) for line in listing.lines)
    if found:
        amounts.append(counted(found, "finding"))
    return {
        "file": uri_path(row.file),
        "name": function.site.function,
        "amounts": " · ".join(amounts),
        "notes": list(notes(listing)),
        "rows": [
            _row(index, line, code[line.number - row.first_line], ids) for line in listing.lines
        ],
    }


def _row(index: int, line: Line, code: str, ids: Mapping[int, str]) -> _Row:
    profile = line.profile
    ran = profile is not None and profile.hits > 0
    family = _GUTTERS.get(line.state, "")
    return _Row(
        id=f"f{index}-{line.number}",
        level=_LEVELS[line.level],
        time=line_time(profile.seconds) if profile is not None and ran else "",
        hits=f"{profile.hits:,}" if profile is not None and ran else "",
        db=cell(profile.query_seconds, profile.queries) if profile is not None else "",
        external=(
            cell(profile.external_seconds, profile.external_calls) if profile is not None else ""
        ),
        gutter=f"g {family}{_MARKS[line.mark]}" if family and line.mark else "g",
        bar=f"g {family}m" if family and line.mark in ("begin", "middle") else "g",
        state=_STATES[line.state],
        number=line.number,
        code=code,
        gap=line.after_gap,
        notes=[
            _Note(
                ids[id(finding)],
                finding.severity,
                f"{finding.rule}: {what(finding)} ×{finding.count:,}",
            )
            for finding in line.findings
        ],
    )


# Pools.


def _pool(pool: PoolProfile) -> dict[str, Any]:
    return {
        "engine": pool.engine,
        "size": "-" if pool.size is None else pool.size,
        "share": None if not pool.size else pool.peak_busy / pool.size,
        "limit": max(pool.size or 0, pool.peak_busy),
        "busy": pool.peak_busy,
        "checkouts": f"{pool.checkouts:,}",
        "held": duration(pool.held_seconds),
        "transactions": duration(pool.transaction_seconds),
        "waits": f"{pool.waits:,}",
        "longest": duration(pool.longest_wait) if pool.waits else "-",
        "timeouts": f"{pool.timeouts:,}",
    }


def _use(pool: PoolProfile) -> dict[str, Any]:
    return {"engine": pool.engine, "limit": pool.limit, "stretches": stretches(pool)}


_JOBS = 4_000
"""Checkouts of each simulated run: some 20 of them take a fraction of a second."""


def _simulated(profile: Profile) -> Iterator[dict[str, Any]]:
    """Pools of other sizes, where the recording tells enough of the workers; or why it does not."""
    for pool in profile.pools:
        told: dict[str, Any] = {"engine": pool.engine, "why": None, "drawings": []}
        try:
            found = compare(profile, engine=pool.engine, hoisted=None, jobs=_JOBS)
        except NotEnough as error:
            told["why"] = str(error)
        else:
            told |= {"drawings": drawings(found), "legend": legend(found)}
            told["text"] = whatif.render(found)
        yield told
