"""Sensors see what the program does. One file a family, each a table of what to wrap.

Adding a client is adding a row to its family's `CLIENTS`; adding a family is adding a file and a
line in `FAMILIES`. Libraries are wrapped when they are imported, before or after txprof; nothing
is imported for the user, and `uninstall` puts the originals back.
"""

from __future__ import annotations

from txprof import collector, context, policy
from txprof.forking import new_lock
from txprof.sensors import (
    aiohttp,
    aws,
    brokers,
    by_name,
    cache,
    external,
    grpc,
    http,
    kafka,
    llm,
    loading,
    mail,
    placing,
    process,
    queues,
    sessions,
    sleep,
    sockets,
    sqlalchemy,
    storage,
    threads,
    websockets,
)
from txprof.sensors.placing import Client, Target

FAMILIES = (
    llm,
    http,
    aiohttp,
    websockets,
    grpc,
    aws,
    storage,
    queues,
    brokers,
    kafka,
    mail,
    cache,
    process,
    sleep,
)
"""Rooms of `CLIENTS`: what calls the outside world."""

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
    else:
        with _lock:
            if not placing.installed():
                _install()
    if with_sockets:
        sockets.install()


def _install() -> None:
    placing.start()
    sqlalchemy.install()
    for target in targets():
        placing.place_when_imported(target)
    by_name.place(target for client in clients() for target in client.targets)


def clients() -> list[Client]:
    """Every library whose calls are seen, family by family."""
    return [client for family in FAMILIES for client in family.CLIENTS]


def targets() -> list[Target]:
    """Everything that is wrapped when its module is imported, but for SQLAlchemy's own."""
    return [*OTHERS, *(target for client in clients() for target in client.targets)]


def uninstall() -> None:
    """Take every sensor out and restore the originals."""
    with _lock:
        if placing.installed():
            sqlalchemy.uninstall()
        external.descriptions.reset()
        sockets.uninstall()
        sessions.unlisten()
        placing.restore_all()  # also what the wraps of others kept in place the last time
        by_name.restore()
