"""`--fail-on`: which findings make a command end with status 1."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from txprof.found import Finding
from txprof.model import SEVERITIES

FOUND = 1
"""The exit status when something was found that `--fail-on` names."""


def add_fail_on(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The option, which may be given several times."""
    parser.add_argument(
        "--fail-on",
        action="append",
        type=_choice,
        metavar="RULE|SEVERITY",
        help="exit status 1 if there is a finding of this rule, or as bad as this severity "
        "(error, warning, info) or worse; may be repeated "
        f"(default: {default or 'findings do not change the exit status'})",
    )


def _choice(text: str) -> str:
    from txprof.rules import check_rule

    if text in SEVERITIES:
        return text
    try:
        return check_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{error}; or a severity: {', '.join(SEVERITIES)}"
        ) from None


def failing(findings: Iterable[Finding], choices: Sequence[str] | None) -> list[Finding]:
    """The findings that any of the choices names."""
    from txprof.report.selection import at_or_above

    def named(finding: Finding, choice: str) -> bool:
        return at_or_above(finding, choice) if choice in SEVERITIES else finding.rule == choice

    return [
        finding for finding in findings if any(named(finding, choice) for choice in choices or ())
    ]
