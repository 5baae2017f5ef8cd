"""What an open transaction keeps locked."""

from __future__ import annotations

from collections.abc import Iterable

from txprof.callsite import Path, mixing_site
from txprof.locked import Lock
from txprof.model import Site
from txprof.sql import locked_tables


def taken(locking: Iterable[tuple[str, Path]], opened: Path) -> tuple[Lock, ...]:
    """The tables that these statements locked, by name; of each, the first that did.

    Its site is the line that mixes: the innermost that is also on the path that `opened`.
    """
    locks: dict[str, Lock] = {}
    for statement, path in locking:
        for table in locked_tables(statement):
            if table not in locks:
                site = mixing_site(path, opened)
                locks[table] = Lock(table, None if site is None else Site(*site), statement)
    return tuple(locks[table] for table in sorted(locks))
