"""Sensors see what the program does. One file a family, each a table of what to wrap.

Adding a client is adding a row to its family's `CLIENTS`, and its modules to `families.FAMILIES`;
adding a family is adding a file and a line there. Libraries are wrapped when they are imported,
before or after txprof; nothing is imported for the user, and `uninstall` puts the originals back.
"""

from __future__ import annotations

import sys

from txprof import collector, context, policy
from txprof.forking import new_lock
from txprof.sensors import (
    by_name,
    external,
    families,
    loading,
    placing,
    sessions,
    sqlalchemy,
    threads,
)
from txprof.sensors.placing import Client, Target

OTHERS = (*threads.TARGETS, *loading.TARGETS)
"""What is wrapped and is no external call."""

for _variable in (
    context.holds_here,
    collector.watching_here,
    collector.entries_here,
    policy.allowances,
):
    threads.inherit(_variable)

_lock = new_lock()


def install(*, with_sockets: bool = False) -> None:
    """Put every sensor in; that of sockets on demand. Cheap when they are in already."""
    if placing.installed():
        placing.place_pending()
        families.bring_pending()
    else:
        with _lock:
            if not placing.installed():
                _install()
    if with_sockets:
        from txprof.sensors import sockets

        sockets.install()


def _install() -> None:
    placing.start()
    sqlalchemy.install()
    for target in OTHERS:
        placing.place_when_imported(target)
    families.start()
    by_name.place(families.brought())


def clients() -> list[Client]:
    """Every library whose calls are seen, family by family."""
    return [client for family in families.FAMILIES for client in families.clients(family)]


def targets() -> list[Target]:
    """Everything that is wrapped when its module is imported, but for SQLAlchemy's own."""
    return [*OTHERS, *(target for client in clients() for target in client.targets)]


def uninstall() -> None:
    """Take every sensor out and restore the originals."""
    with _lock:
        if placing.installed():
            sqlalchemy.uninstall()
        external.descriptions.reset()
        sockets = sys.modules.get("txprof.sensors.sockets")
        if sockets is not None:
            sockets.uninstall()
        sessions.unlisten()
        placing.restore_all()  # also what the wraps of others kept in place the last time
        by_name.restore()
