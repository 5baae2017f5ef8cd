"""What ran, as the reader of a profile sees it: its queries and exemplars; more of `model.py`.

Apart from it because Python takes a millisecond to make these classes, each time that it starts.
`txprof` itself has them once they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from txprof.model import CallPath, Site
from txprof.plain import Frozen


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Query(Frozen):
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


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Exemplar(Frozen):
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
