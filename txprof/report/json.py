"""The report as JSON, for programs. The document is described in docs/reports.md."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from txprof.model import SEVERITIES, Site
from txprof.report.places import uri_path

if TYPE_CHECKING:
    from txprof.results import Profile

FORMAT = "txprof-report"
VERSION = 1


def render(profile: Profile, *, indent: int | None = 1) -> str:
    """One JSON document; `indent` None for one line."""
    from txprof import __version__

    findings = profile.findings
    severities = Counter(finding.severity for finding in findings)
    rules = Counter(finding.rule for finding in findings)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "txprof": __version__,
        "judged": profile.recorded.watched,
        "runs": profile.recorded.runs,
        "calls": profile.recorded.calls,
        "summary": {
            "findings": len(findings),
            "by_severity": {severity: severities[severity] for severity in SEVERITIES},
            "by_rule": dict(sorted(rules.items())),
        },
        **profile.to_dict(),
    }
    return json.dumps(as_plain(document), indent=indent, ensure_ascii=False) + "\n"


def as_plain(value: Any) -> Any:
    """As JSON has it; files of the project are named from its root, as recordings name them."""
    if isinstance(value, Site):
        value = value._asdict()
    if isinstance(value, dict):
        done = {key: as_plain(item) for key, item in value.items()}
        if done.keys() == _SITE:
            done["file"] = uri_path(done["file"])
        return done
    return [as_plain(item) for item in value] if isinstance(value, list | tuple) else value


_SITE = set(Site._fields)
