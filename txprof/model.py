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
class LineProfile:
    """One line of a profiled function; seconds are totals over all its hits.

    None is what was not measured: line_profiler's recordings hold hits and seconds alone.
    """

    line: int
    source: str
    hits: int
    seconds: float
    await_seconds: float | None
    held_seconds: float | None
    transaction_seconds: float | None
    queries: int | None
    query_seconds: float | None
    external_calls: int | None
    external_seconds: float | None


@dataclass(frozen=True, slots=True)
class FunctionProfile:
    """A profiled function: totals over its calls, and its lines by number.

    `note` says, in a sentence, what keeps the listing from being complete (source that changed
    since the run, a timer that had to give way), or is None.
    """

    site: Site
    calls: int | None
    seconds: float
    held_seconds: float | None
    transaction_seconds: float | None
    lines: dict[int, LineProfile]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Durations:
    """How durations were distributed, in seconds: quantiles within 1 % of themselves.

    None where there were none.
    """

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class HoldProfile:
    """The connections that were taken at one line: for how long, and after which waits.

    `site` is None for those of which no application line is known. Of `held.count * held.mean`
    seconds so many were spent in statements and in external calls; the rest in neither.
    """

    site: Site | None
    held: Durations
    waited: Durations
    transaction_seconds: float
    statement_seconds: float
    external_seconds: float


class PoolMoment(NamedTuple):
    """How a pool was used during `seconds` from `start` on (seconds since the epoch).

    `busy` connections were out and `waiting` threads or tasks stood before the pool, on average,
    and `peak` connections were out at most. Of several processes: of each, on average; the most of
    one.
    """

    start: float
    seconds: float
    busy: float
    peak: int
    waiting: float


@dataclass(frozen=True, slots=True)
class PoolProfile:
    """What the profiled run asked of one connection pool.

    `limit` is how many connections it may have, overflow included (None: any number). `busy` has
    the seconds during which so many were out. `held`, `waited` (those that gave up, too) and
    `thought` (from giving a connection back to asking for the next, by the same thread or task) are
    in all; `holds` has the first two by the line that took the connection, the most held first.
    `over_time` are moments of equal length, at most 240, without those that nobody watched. Where a
    recording is older than these they are None and empty.
    """

    engine: str
    size: int | None
    checkouts: int
    held_seconds: float
    transaction_seconds: float
    peak_busy: int
    waits: int
    wait_seconds: float
    longest_wait: float
    timeouts: int
    limit: int | None = None
    checkout_timeout: float | None = None
    busy: dict[int, float] = field(default_factory=dict)
    held: Durations = field(default_factory=Durations)
    waited: Durations = field(default_factory=Durations)
    thought: Durations = field(default_factory=Durations)
    statement_seconds: float | None = None
    external_seconds: float | None = None
    holds: tuple[HoldProfile, ...] = ()
    over_time: tuple[PoolMoment, ...] = ()

    @property
    def mean_busy(self) -> float | None:
        """Connections out on average, from the first checkout to the last return that was seen."""
        seconds = sum(self.busy.values())
        return sum(level * s for level, s in self.busy.items()) / seconds if seconds else None


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


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection that is checked out: `call_path` opened its transaction, or else took it.

    `owner` is a thread or task by name; `of_harness` whether the `txprof.Harness` has it, and the
    application ran nothing on it.
    """

    engine: str
    in_transaction: bool
    call_path: CallPath
    owner: str
    of_harness: bool


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at one moment; None is a number that this kind of pool, or this moment, cannot tell.

    `busy` connections are checked out by threads that live, `dead` ones by threads and tasks that
    ended without giving them back; `waiting` threads or tasks stand before an empty pool;
    `checkout_timeout` is in seconds. `overflow` of the `connections` are beyond `size`;
    `max_overflow` may be, None where nothing limits them.
    """

    size: int | None
    connections: int | None
    busy: int | None
    idle: int | None
    dead: int | None
    waiting: int | None
    checkout_timeout: float | None
    overflow: int | None = None
    max_overflow: int | None = None
    held_by: tuple[Holder, ...] = field(default=(), repr=False, compare=False)

    def holders(self) -> tuple[Holder, ...]:
        """Who held connections then, the longest first; those whose checkout was seen.

        It is seen while a profile has put the sensors in, and from `txprof.explain_timeouts` on.
        """
        return self.held_by
