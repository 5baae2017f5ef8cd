"""Which findings and functions a report is about: a profile in, a profile with fewer out."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from txprof import rules
from txprof.found import Finding
from txprof.model import SEVERITIES, Site
from txprof.profiled import FunctionProfile
from txprof.results import Profile
from txprof.rules.external_io import relative

SORTS = ("severity", "seconds", "count", "place")


@dataclass(frozen=True, slots=True)
class Selection:
    """What to show. Of names in one tuple any will do; () for all.

    `paths` are globs of files from the project's root, or of folders; `functions` globs of
    qualified names or of their last part; `severity` is the mildest to show; `top` so many
    findings, and so many functions.
    """

    rules: tuple[str, ...] = ()
    severity: str | None = None
    paths: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    sort: str = "severity"
    top: int | None = None

    def __post_init__(self) -> None:
        for rule in self.rules:
            rules.check_rule(rule)
        for name, value, known in (
            ("severity", self.severity, SEVERITIES),
            ("sort", self.sort, SORTS),
        ):
            if value is not None and value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if self.top is not None and self.top < 1:
            raise ValueError(f"top must be 1 or more, not {self.top!r}")

    def finds(self, finding: Finding) -> bool:
        """Whether the finding is one to show."""
        if self.rules and finding.rule not in self.rules:
            return False
        return at_or_above(finding, self.severity or "info") and self._lies_in(finding.site)

    def _lies_in(self, site: Site) -> bool:
        if self.paths and not any(_in_path(relative(site.file), path) for path in self.paths):
            return False
        name = site.function
        return not self.functions or any(
            fnmatch.fnmatchcase(name, pattern)
            or fnmatch.fnmatchcase(name.rpartition(".")[2], pattern)
            for pattern in self.functions
        )

    def findings(self, profile: Profile) -> list[Finding]:
        """Those to show, in order: of all, `top` left aside."""
        found = [finding for finding in profile.findings if self.finds(finding)]
        return sorted(found, key=_ORDERS[self.sort])

    def of(self, profile: Profile) -> Profile:
        """The profile, with these findings and functions alone."""
        functions = [each for each in profile.functions if self._lies_in(each.site)]
        if self.sort == "place":
            functions.sort(key=lambda function: function.site)
        return _Selected(profile, self.findings(profile)[: self.top], functions[: self.top])


def at_or_above(finding: Finding, severity: str) -> bool:
    """Whether it is as bad as that, or worse."""
    return SEVERITIES.index(finding.severity) <= SEVERITIES.index(severity)


def _in_path(file: str, pattern: str) -> bool:
    pattern = relative(pattern).removeprefix("./").rstrip("/")
    return fnmatch.fnmatchcase(file, pattern) or fnmatch.fnmatchcase(file, f"{pattern}/*")


_ORDERS: dict[str, Callable[[Finding], Any]] = {
    "severity": lambda finding: SEVERITIES.index(finding.severity),  # the rest as rules order it
    "seconds": lambda finding: -(finding.seconds or 0.0),
    "count": lambda finding: -finding.count,
    "place": lambda finding: finding.site,
}


class _Selected(Profile):
    def __init__(
        self, profile: Profile, findings: list[Finding], functions: list[FunctionProfile]
    ) -> None:
        recorded = profile.recorded
        super().__init__(lambda: recorded, profile.settings)
        self.finish()
        self._findings = findings
        self._functions = functions

    @property
    def functions(self) -> list[FunctionProfile]:
        """Those that were selected."""
        return list(self._functions)

    @property
    def findings(self) -> list[Finding]:
        """Those that were selected."""
        return list(self._findings)
