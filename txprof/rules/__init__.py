"""The rules. A rule is a pure function: what the collector gathered in, findings out.

Adding one: its name in `model.RULES`, and a file here with `judge(recorded, settings)`, and a line
in `judge`; if it judges by rows that no other one does, also in `_is_clean`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from txprof.callsite import mixing_site
from txprof.model import IN_TRANSACTION, RULES, SEVERITIES, WHILE_HELD, Severity, Site
from txprof.recorded import CallRow, CheckoutRow, Recorded
from txprof.settings import Settings, check_kind

if TYPE_CHECKING:
    from txprof.found import Finding


NOWHERE = Site("<unknown>", 0, "<unknown>")


def judge(recorded: Recorded, settings: Settings) -> list[Finding]:
    """All findings: errors first, then by the time they cost."""
    if _is_clean(recorded):
        return []
    from txprof.rules import external_io, pool, queries, transactions  # most tests are clean

    rooms = (external_io, queries, transactions, pool)
    judged = (finding for room in rooms for finding in room.judge(recorded, settings))
    findings = [found for finding in judged if (found := weighed(finding, settings)) is not None]
    findings.sort(
        key=lambda finding: (
            SEVERITIES.index(finding.severity),
            -(finding.seconds or 0.0),
            finding.site,
            finding.rule,
            finding.fingerprint,
        )
    )
    return findings


def rule_of(row: CallRow) -> str | None:
    """The rule that such a call breaks, were it not allowed."""
    if row.state == "transaction":
        return IN_TRANSACTION
    return WHILE_HELD if row.state == "held" else None


def site_of(row: CallRow) -> Site:
    """The line to change: the innermost that is also on the path which opened."""
    return Site(*(mixing_site(row.path, row.opened) or NOWHERE))


def of_checkouts(rows: Iterable[CheckoutRow]) -> list[Finding]:
    """The findings behind these, which need not wait for the end."""
    from txprof.rules import pool

    return pool.findings(rows)


def _is_clean(recorded: Recorded) -> bool:
    """Whether none of the rooms has anything to judge: so it is with most tests of a suite."""
    return not (
        recorded.external_calls
        or recorded.bursts
        or recorded.idle
        or recorded.transactions
        or recorded.checkouts
    )


def weighed(finding: Finding, settings: Settings) -> Finding | None:
    """With the severity that the settings give its rule; None if they switch it off."""
    off, severities = _choices(settings.disable, settings.severity)
    if finding.rule in off:
        return None
    severity = severities.get(f"{finding.rule}:{finding.details.get('kind')}")
    severity = severity or severities.get(finding.rule)
    return finding if severity is None else replace(finding, severity=severity)


@functools.lru_cache(maxsize=64)
def _choices(
    disable: tuple[str, ...], severity: tuple[str, ...]
) -> tuple[frozenset[str], dict[str, Severity]]:
    """Rules that are off; severities by "rule" or "rule:kind". ValueError for an unknown rule."""
    severities: dict[str, Severity] = {}
    for choice in severity:
        name, _, word = choice.partition("=")
        if word not in SEVERITIES:
            raise ValueError(
                f"severity: {choice!r} must be 'rule=severity' or 'rule:kind=severity' "
                f"with one of {', '.join(SEVERITIES)}"
            )
        rule, colon, kind = name.partition(":")
        check_rule(rule)
        if colon:
            check_kind(kind)
        severities[name] = word
    return frozenset(map(check_rule, disable)), severities


def check_settings(settings: Settings) -> None:
    """ValueError for a rule or severity in the settings that nobody knows."""
    _choices(settings.disable, settings.severity)
    for rule in settings.raise_rules:
        check_rule(rule)


def check_rule(name: object) -> str:
    """The name, if a rule has it."""
    if not isinstance(name, str):
        raise TypeError(f"rule must be a string, not {name!r}")
    if name not in RULES:
        import difflib

        near = difflib.get_close_matches(name, RULES, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"unknown rule {name!r}{meant}; known are {', '.join(RULES)}")
    return name
