"""The functions of libraries that sensors wrap, and what is in their places."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import txprof
from txprof import sensors
from txprof.doctor import is_installed
from txprof.sensors.placing import Target


def installed_targets() -> list[Target]:
    """Those of the libraries that are installed here."""
    return [
        target for client in sensors.clients() for target in client.targets if is_installed(target)
    ]


class Places:
    """What is in the places of targets, imported for that; not as their classes would give it."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets = list(targets)
        self._before = self._found()

    def _found(self) -> dict[str, Any]:
        found = {}
        for target in self._targets:
            owner: Any = importlib.import_module(target.module)
            *parents, name = target.attribute.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            found[f"{target.module}:{target.attribute}"] = vars(owner).get(name)
        return found

    def changed(self) -> dict[str, bool]:
        """By target: whether something else is there than when this was made."""
        now = self._found()
        return {name: now[name] is not there for name, there in self._before.items()}


def install() -> None:
    """The sensors go in, and stay."""
    with txprof.profile():
        pass
