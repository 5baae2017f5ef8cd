"""txprof: a line-profiling toolkit for transaction hygiene.

It shows which line holds a database connection or a transaction open while the program does
something else, what that cost, and what to change. Start with `txprof.profile`.

PYTEST_DONT_REWRITE: pytest warns of a package with a plugin that was imported before pytest began,
such as by `txprof run`, unless it says so.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from txprof.api import (
    allow,
    allow_if,
    entry,
    external_call,
    is_active,
    load,
    merge,
    open_connections,
    profile,
    uninstall,
    watch,
)
from txprof.errors import RecordingError, TransactionHygieneError, TransactionHygieneWarning
from txprof.harness import Harness
from txprof.model import Holder, Site
from txprof.results import Profile

_LATE = ("found", "ran", "expected", "pool.api", "profiled")
"""Of modules that most programs need nothing of: imported once somebody asks."""

if TYPE_CHECKING:
    from txprof.expected import expect
    from txprof.found import Call, Finding
    from txprof.pool.api import explain_timeouts, log_pool, pool_status
    from txprof.profiled import (
        Durations,
        FunctionProfile,
        HoldProfile,
        LineProfile,
        OpenConnection,
        PoolMoment,
        PoolProfile,
        PoolStatus,
    )
    from txprof.ran import Exemplar, Query, TimedCall, TimedStatement
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        rooms = (importlib.import_module(f"txprof.{room}") for room in _LATE)
        return next(getattr(room, name) for room in rooms if hasattr(room, name))


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
    "Harness",
    "HoldProfile",
    "Holder",
    "LineProfile",
    "OpenConnection",
    "PoolMoment",
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
    "entry",
    "expect",
    "explain_timeouts",
    "external_call",
    "is_active",
    "load",
    "log_pool",
    "merge",
    "open_connections",
    "pool_status",
    "profile",
    "uninstall",
    "watch",
]
