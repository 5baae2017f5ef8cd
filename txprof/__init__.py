"""txprof: a line-profiling toolkit for transaction hygiene.

It shows which line holds a database connection or a transaction open while the program does
something else, what that cost, and what to change. Start with `txprof.profile`.
"""

from __future__ import annotations

from txprof.api import (
    allow,
    allow_if,
    entry,
    external_call,
    is_active,
    load,
    merge,
    profile,
    uninstall,
    watch,
)
from txprof.errors import RecordingError, TransactionHygieneError, TransactionHygieneWarning
from txprof.model import (
    Call,
    Durations,
    Exemplar,
    Finding,
    FunctionProfile,
    Holder,
    HoldProfile,
    LineProfile,
    PoolProfile,
    PoolStatus,
    Site,
    TimedCall,
    TimedStatement,
)
from txprof.pool.api import explain_timeouts, log_pool, pool_status
from txprof.results import Profile

__version__ = "0.1.0"


def load_ipython_extension(shell: object) -> None:
    """`%load_ext txprof`: the cell magic `%%txprof`."""
    from txprof.notebook import load

    load(shell)


__all__ = [
    "Call",
    "Durations",
    "Exemplar",
    "Finding",
    "FunctionProfile",
    "HoldProfile",
    "Holder",
    "LineProfile",
    "PoolProfile",
    "PoolStatus",
    "Profile",
    "RecordingError",
    "Site",
    "TimedCall",
    "TimedStatement",
    "TransactionHygieneError",
    "TransactionHygieneWarning",
    "__version__",
    "allow",
    "allow_if",
    "entry",
    "explain_timeouts",
    "external_call",
    "is_active",
    "load",
    "log_pool",
    "merge",
    "pool_status",
    "profile",
    "uninstall",
    "watch",
]
