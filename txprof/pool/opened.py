"""The connections that are checked out now."""

from __future__ import annotations

from txprof.model import Site
from txprof.profiled import OpenConnection
from txprof.sensors import checkouts
from txprof.visits import is_harness_own


def open_connections() -> list[OpenConnection]:
    """See `txprof.open_connections`."""
    found = []
    for hold in sorted(checkouts.holds.values(), key=lambda hold: hold.since):
        transaction = hold.transaction
        path = hold.path if transaction is None else transaction.path or hold.path
        found.append(
            OpenConnection(
                hold.engine,
                transaction is not None,
                tuple(Site(*frame) for frame in path),
                hold.owner(),
                is_harness_own(hold) if transaction is None else is_harness_own(transaction),
            )
        )
    return found
