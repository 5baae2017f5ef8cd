"""Sensors see what the program does. One file a family, each a table of what to wrap.

Adding a client is adding a row to its family's `CLIENTS`; adding a family is adding a file and a
line in `FAMILIES`. Libraries are wrapped when they are imported, before or after txprof; nothing
is imported for the user, and `uninstall` puts the originals back.
"""

from __future__ import annotations

import threading

from txprof import collector, context, policy
from txprof.sensors import (
    aiohttp,
    aws,
    by_name,
    cache,
    http,
    loading,
    mail,
    placing,
    process,
    sessions,
    sleep,
    sqlalchemy,
    threads,
)
from txprof.sensors.placing import Client

FAMILIES = (
    http,
    aiohttp,
    aws,
    mail,
    cache,
    process,
    sleep,
)
"""Rooms of `CLIENTS`: what calls the outside world."""

_OTHERS = (*threads.TARGETS, *loading.TARGETS)

for _variable in (
    context.holds_here,
    collector.watching_here,
    collector.entries_here,
    policy.allowances,
):
    threads.inherit(_variable)

_lock = threading.Lock()


def install() -> None:
    """Put every sensor in. Cheap when they are in already."""
    if placing.installed():
        placing.place_pending()
        return
    with _lock:
        if placing.installed():
            return
        placing.start()
        sqlalchemy.install()
        for target in (*_OTHERS, *(target for client in clients() for target in client.targets)):
            placing.place_when_imported(target)
        by_name.place(target for client in clients() for target in client.targets)


def clients() -> list[Client]:
    """Every library whose calls are seen, family by family."""
    return [client for family in FAMILIES for client in family.CLIENTS]


def uninstall() -> None:
    """Take every sensor out and restore the originals."""
    with _lock:
        if placing.installed():
            sqlalchemy.uninstall()
            sessions.unlisten()
        placing.restore_all()  # also what the wraps of others kept in place the last time
        by_name.restore()
