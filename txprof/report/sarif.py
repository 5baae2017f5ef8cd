"""SARIF 2.1.0, for code scanning: GitHub, GitLab, Azure DevOps, editors.

Fingerprints stay when lines move (`model.fingerprint`). Files are named from the project's root,
`%SRCROOT%`, which the reader knows.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from txprof.found import Finding
from txprof.model import RULES, Site
from txprof.report.listing import source_lines
from txprof.report.places import uri
from txprof.report.rulebook import entry
from txprof.report.words import cost, rest, what

if TYPE_CHECKING:
    from txprof.results import Profile

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_RULE_LEVELS = {
    "io-in-transaction": "error",
    "n-plus-one": "error",
    "pool-timeout": "error",
    "connection-leak": "error",
    "write-loop": "note",
}
"""Of the others: warning."""

_RELATED = (
    ("transaction_site", "the transaction was opened here"),
    ("hold_site", "the connection was taken here"),
    ("before", "the statement before"),
    ("after", "the statement after"),
)
"""Sites in a finding's details, and what they are to it."""

_PROPERTIES = ("kind", "target", "statement", "relationship", "option", "engine", "locked_tables")


def render(profile: Profile, *, indent: int | None = 1) -> str:
    """One SARIF log with one run."""
    from txprof import __version__

    findings = profile.findings
    names = (*RULES, *sorted({finding.rule for finding in findings} - set(RULES)))
    index = {name: number for number, name in enumerate(names)}
    source = source_lines(profile)
    occurrences: Counter[str] = Counter()
    results = []
    for finding in findings:
        occurrences[finding.fingerprint] += 1
        results.append(_result(finding, index, occurrences[finding.fingerprint], source))
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "txprof",
                "version": __version__,
                "semanticVersion": __version__,
                "shortDescription": {"text": "Line profiling for transaction hygiene"},
                "rules": [_rule(name) for name in names],
            }
        },
        "originalUriBaseIds": {
            "%SRCROOT%": {"description": {"text": "The root of the project's repository"}}
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(profile)],
        "results": results,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=indent, ensure_ascii=False) + "\n"


def _invocation(profile: Profile) -> dict[str, Any]:
    started = profile.started_at
    times = {} if started is None else {"startTimeUtc": f"{started:%Y-%m-%dT%H:%M:%SZ}"}
    return {"executionSuccessful": True, **times}


def _rule(name: str) -> dict[str, Any]:
    help = entry(name)
    return {
        "id": name,
        "name": "".join(part.capitalize() for part in name.split("-")),
        "shortDescription": {"text": help.title},
        "fullDescription": {"text": help.why or help.title},
        "help": {
            "text": f"{help.why} {help.remedy}".strip() or help.title,
            "markdown": f"{help.why}\n\n**Instead:** {help.remedy}",
        },
        "defaultConfiguration": {"level": _RULE_LEVELS.get(name, "warning")},
        "properties": {"tags": ["performance", "database"], "precision": "high"},
    }


def _result(
    finding: Finding, index: Mapping[str, int], occurrence: int, source: Mapping[Site, str]
) -> dict[str, Any]:
    related = [
        {"id": number, **_location(site), "message": {"text": text}}
        for number, (site, text) in enumerate(_related(finding), 1)
    ]
    shown = f"{what(finding)} {cost(finding)}{rest(finding)}"
    properties = {
        "count": finding.count,
        "seconds": finding.seconds,
        "call_path": finding.details.get("call_path", []),
        **{name: finding.details[name] for name in _PROPERTIES if finding.details.get(name)},
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{shown}. To fix it: {finding.hint}"},
        "locations": [_location(finding.site, source.get(finding.site))],
        **({"relatedLocations": related} if related else {}),
        "partialFingerprints": {
            "txprofFingerprint/v1": finding.fingerprint,
            # What GitHub knows a result by. Two lines of one function may share the other.
            "primaryLocationLineHash": f"{finding.fingerprint}:{occurrence}",
        },
        "properties": properties,
    }


def _related(finding: Finding) -> list[tuple[Site, str]]:
    found = []
    for name, text in _RELATED:
        site = finding.details.get(name)
        if isinstance(site, Site) and site != finding.site:
            found.append((site, text))
    for lock in finding.details.get("locks", ()):
        if isinstance(lock["site"], Site):
            found.append((lock["site"], f"{lock['table']} was locked here"))
    return found


def _location(site: Site, line: str | None = None) -> dict[str, Any]:
    physical: dict[str, Any] = {
        "artifactLocation": {"uri": uri(site.file), "uriBaseId": "%SRCROOT%"}
    }
    if physical["artifactLocation"]["uri"].startswith("file:"):
        del physical["artifactLocation"]["uriBaseId"]
    if site.line:
        physical["region"] = {"startLine": site.line}
        if line is not None:
            physical["region"]["snippet"] = {"text": line}
    return {
        "physicalLocation": physical,
        "logicalLocations": [{"name": site.function, "kind": "function"}],
    }
