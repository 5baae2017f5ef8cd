"""What a rule found, as its reader sees it; more of `model.py`.

Apart from it because Python takes half a millisecond to make this class, and most runs of a test
suite find nothing: the rules import it where they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from txprof.model import Severity, Site


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that fired, at a site, with its evidence and a hint.

    `seconds` is what the calls or statements behind it took, in all. `fingerprint` names the
    finding across line moves and machines: rule, file relative to the project, function, target.
    """

    rule: str
    severity: Severity
    message: str
    site: Site
    count: int
    seconds: float | None
    hint: str
    fingerprint: str
    details: dict[str, Any] = field(default_factory=dict, hash=False)
