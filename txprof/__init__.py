"""txprof: a line-profiling toolkit for transaction hygiene.

It shows which line holds a database connection or a transaction open while the program does
something else, what that cost, and what to change. Start with `txprof.profile`.
"""

from __future__ import annotations

from txprof.api import (
    allow,
    allow_if,
    external_call,
    load,
    merge,
    open_connections,
    pool_status,
    profile,
    uninstall,
    watch,
)
from txprof.errors import RecordingError, TransactionHygieneError, TransactionHygieneWarning
from txprof.expected import expect
from txprof.harness import Harness
from txprof.model import (
    Call,
    Exemplar,
    Finding,
    FunctionProfile,
    LineProfile,
    OpenConnection,
    PoolProfile,
    PoolStatus,
    Query,
    Site,
    TimedCall,
    TimedStatement,
)
from txprof.results import Profile

__version__ = "0.1.0"

__all__ = [
    "Call",
    "Exemplar",
    "Finding",
    "FunctionProfile",
    "Harness",
    "LineProfile",
    "OpenConnection",
    "PoolProfile",
    "PoolStatus",
    "Profile",
    "Query",
    "RecordingError",
    "Site",
    "TimedCall",
    "TimedStatement",
    "TransactionHygieneError",
    "TransactionHygieneWarning",
    "__version__",
    "allow",
    "allow_if",
    "expect",
    "external_call",
    "load",
    "merge",
    "open_connections",
    "pool_status",
    "profile",
    "uninstall",
    "watch",
]
