"""The words of txprof as plain data. Imports nothing of the project.

Seconds are floats; what was not measured is None, never 0. What a run leaves behind, and all of
this is made from, is in `recorded.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
State = Literal["transaction", "held", "free"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

KINDS = (
    "http",
    "storage",
    "queue",
    "mail",
    "cache",
    "rpc",
    "subprocess",
    "sleep",
    "socket",
)
"""The kinds of external call that sensors report; users add words of their own."""


CALL_RULES = ("io-in-transaction", "io-while-held")
"""The rules that judge external calls."""


class Site(NamedTuple):
    """A line of application code."""

    file: str
    line: int
    function: str


CallPath = tuple[Site, ...]
"""The application frames of one moment, innermost first."""


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


def fingerprint(rule: str, relative_path: str, function: str, target: str) -> str:
    """12 hex digits that stay the same when lines move."""
    import hashlib

    identity = "\0".join((rule, relative_path, function, target))
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement text from one call path: how often it ran, and the seconds that took.

    `call_path` has the application's lines, innermost first; `statement` no parameters.
    """

    statement: str
    call_path: CallPath
    count: int
    seconds: float
    longest: float

    @property
    def site(self) -> Site | None:
        """The line that sent it."""
        return self.call_path[0] if self.call_path else None


class TimedStatement(NamedTuple):
    """One execution of a statement in a transaction: `start` and `end` in seconds after its begin.

    `path` is empty where it is not known. `statement` is the text, without parameters, of which
    1,000 characters are kept.
    """

    start: float
    end: float
    path: CallPath
    statement: str
    failed: bool = False

    @property
    def site(self) -> Site | None:
        """The line that sent it."""
        return self.path[0] if self.path else None


class TimedCall(NamedTuple):
    """One external call made while a transaction was open, or one read of its result.

    `start` and `end` are seconds after the transaction's begin; `allowed` is why it may be.
    """

    start: float
    end: float
    path: CallPath
    kind: str
    target: str
    allowed: str | None = None

    @property
    def site(self) -> Site | None:
        """The line that made it."""
        return self.path[0] if self.path else None


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One transaction, kept whole: one of the slowest of a run.

    `started_at` is in seconds since the epoch, all other times in seconds after it (the hold's
    start, before it: negative). `process` is "host:pid"; `connection` numbers the pooled
    connections of one process, from 1 on (0: not known), and `owner` is the thread or task that
    had it.

    `opened` is the call path that began it, `hold` the one that took the connection, after
    `wait_seconds` of waiting for the pool (None: not seen). `hold_end` is None if the connection
    had not gone back by then. `finishing` is when COMMIT or ROLLBACK was sent, None if none was.
    `outcome` is "commit", "rollback", "failed" (one of them raised), "lost" (the connection was),
    "reset" (the pool took the connection back as it was) or "detached" (from its pool; what came
    after is not known).

    `statements` and `external_calls` are in order of their ends, those that the profile watched;
    `dropped` counts those of them that came after the first 1,000 of each kind.
    """

    engine: str
    process: str
    connection: int
    owner: str
    started_at: float
    seconds: float
    outcome: str
    finishing: float | None
    hold_start: float
    hold_end: float | None
    wait_seconds: float | None
    opened: CallPath
    hold: CallPath
    statements: tuple[TimedStatement, ...]
    external_calls: tuple[TimedCall, ...]
    dropped: int


class Holder(NamedTuple):
    """Who held a connection at one moment: a thread or task, for how many seconds by then.

    `taken` is the line that took it; `now` the line where the holder was, and `statement` what it
    ran last, where they could be told.
    """

    seconds: float
    owner: str
    taken: Site | None = None
    now: Site | None = None
    statement: str | None = None
