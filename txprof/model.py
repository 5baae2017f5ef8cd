"""The words of txprof as plain data. Imports nothing of the project.

Seconds are floats; what was not measured is None, never 0. What a run leaves behind is in
`recorded.py`; what is told of it in `found.py`, `ran.py` and `profiled.py`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

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


CALL_RULES = IN_TRANSACTION, WHILE_HELD = "io-in-transaction", "io-while-held"
"""The rules that judge external calls."""

QUERY_RULES = N_PLUS_ONE, WRITE_LOOP = "n-plus-one", "write-loop"
TRANSACTION_RULES = IDLE, LONG = "idle-in-transaction", "long-transaction"
POOL_RULES = WAIT, TIMEOUT, NESTED, LEAK = (
    "pool-wait",
    "pool-timeout",
    "nested-checkout",
    "connection-leak",
)
RULES = (*CALL_RULES, *QUERY_RULES, *TRANSACTION_RULES, *POOL_RULES)


class Site(NamedTuple):
    """A line of application code."""

    file: str
    line: int
    function: str


CallPath = tuple[Site, ...]
"""The application frames of one moment, innermost first."""


def fingerprint(rule: str, relative_path: str, function: str, target: str) -> str:
    """12 hex digits that stay the same when lines move."""
    import hashlib

    identity = "\0".join((rule, relative_path, function, target))
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:12]


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
