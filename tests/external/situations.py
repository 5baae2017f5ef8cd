"""What the contract of `test_contract.py` is tried on: situations of every client but HTTP's.

A client is added by a line in the file of its family, a family by a line in `_FAMILIES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

Seen = list[tuple[str, str]]
"""(kind, target) of the external calls, sorted."""


class Situation(NamedTuple):
    """One thing that a program does with a client, and what is seen of it.

    `server` names the fixture whose value `call` and `seen` are given: an address, a client.
    `comes_to` is what the call returns, or the class of the exception that it raises.
    """

    client: str
    name: str
    server: str
    call: Callable[[Any], Any]
    seen: Callable[[Any], Seen]
    comes_to: Any = ...

    def __str__(self) -> str:
        return f"{self.client} {self.name}"


_FAMILIES: tuple[str, ...] = (
    "situations_grpc",
    "situations_llm",
    "situations_storage",
    "situations_websocket",
    "situations_celery",
    "situations_queues",
    "situations_amqp",
    "situations_brokers",
    "situations_kafka",
    "situations_mail",
    "situations_cache",
    "situations_process",
    "situations_sleep",
)
"""Modules beside this one, each with its `SITUATIONS`."""

SITUATIONS: list[Situation] = [
    situation for family in _FAMILIES for situation in importlib.import_module(family).SITUATIONS
]
