"""The rules. A rule is a pure function: what the collector gathered in, findings out.

Adding one: a file here with `NAMES` and `judge(recorded, settings)`, and a line in `_ROOMS`; if it
judges by rows that no other one does, also in `_is_clean`.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from txprof.model import SEVERITIES, Severity
from txprof.recorded import Recorded
from txprof.rules import external_io, pool, queries, transactions
from txprof.settings import Settings, check_kind

if TYPE_CHECKING:
    from txprof.found import Finding

_ROOMS = (external_io, queries, transactions, pool)

NAMES: tuple[str, ...] = tuple(name for room in _ROOMS for name in room.NAMES)


def judge(recorded: Recorded, settings: Settings) -> list[Finding]:
    """All findings: errors first, then by the time they cost."""
    if _is_clean(recorded):
        return []
    judged = (finding for room in _ROOMS for finding in room.judge(recorded, settings))
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
    if name not in NAMES:
        import difflib

        near = difflib.get_close_matches(name, NAMES, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"unknown rule {name!r}{meant}; known are {', '.join(NAMES)}")
    return name
