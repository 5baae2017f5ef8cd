"""How the children of a program are reached, and how their end is noticed.

A forked child goes on with what its parent has in it (`process`). One that multiprocessing spawns,
or its fork server forks, gets its orders with what it is to do. multiprocessing, and celery's
billiard, end their children without Python's own end, but tell whoever asked at the child's start.
A subprocess that runs Python reads the environment, if it was asked for (`orders`).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import wrapt


def watch() -> None:
    """From now on."""
    for module in ("multiprocessing.util", "billiard.util"):
        wrapt.register_post_import_hook(_ask_for_ends, module)
    wrapt.register_post_import_hook(_give_orders, "multiprocessing.spawn")


class _Key:
    """What the registries of multiprocessing and billiard hold, weakly, while they ask us."""


_key = _Key()


def _ask_for_ends(util: ModuleType) -> None:
    register: Any = util.register_after_fork  # at the start of a child, however it started
    register(_key, lambda _: _ask_for_end(util))


def _ask_for_end(util: ModuleType) -> None:
    from txprof.programs.process import finish

    # After all that the program itself has to do then.
    util.Finalize(None, finish, exitpriority=-1_000)


class _Stowaway:
    """Comes with the preparation data of a spawned child; unpickled, it starts what watches it."""

    def __init__(self, orders: str) -> None:
        self._orders = orders

    def __reduce__(self) -> Any:
        from txprof.programs.process import join

        return join, (self._orders,)


def _give_orders(spawn: Any) -> None:
    original = spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        from txprof.programs.process import orders_for_children

        data: dict[str, Any] = original(name)
        orders = orders_for_children()
        if orders is not None:
            data["txprof"] = _Stowaway(orders)
        return data

    spawn.get_preparation_data = get_preparation_data
