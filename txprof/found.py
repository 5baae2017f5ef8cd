"""What a rule found, or is about to find, as its reader sees it; more of `model.py`.

Apart from it because Python takes half a millisecond to make these classes, and most runs of a test
suite find nothing: the rules import them where they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from txprof.model import CallPath, Severity, Site
from txprof.plain import Frozen


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Finding(Frozen):
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


class Call(NamedTuple):
    """An external call that is about to break a rule, as `txprof.allow_if` is asked of it.

    `host` is "name:port" where there is one; `call_path` has the application's lines, innermost
    first.
    """

    rule: str
    kind: str
    target: str
    host: str | None
    call_path: CallPath
