"""Annotations for GitHub Actions: workflow commands that mark lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from txprof.report.places import uri_path
from txprof.report.words import cost, rest, what

if TYPE_CHECKING:
    from txprof.found import Finding
    from txprof.results import Profile

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def render(profile: Profile) -> str:
    """One line a finding, the worst first: GitHub shows ten of each level for a step."""
    return "".join(_command(finding) for finding in profile.findings)


def _command(finding: Finding) -> str:
    site = finding.site
    where = {"file": uri_path(site.file)}
    if site.line:
        where["line"] = str(site.line)
    where["title"] = f"{finding.rule} in {site.function}"
    properties = ",".join(f"{name}={_property(value)}" for name, value in where.items())
    text = f"{what(finding)} {cost(finding)}{rest(finding)}\n→ {finding.hint}"
    return f"::{_LEVELS[finding.severity]} {properties}::{_data(text)}\n"


def _data(text: str) -> str:
    # As the toolkit's own `escapeData` does.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
