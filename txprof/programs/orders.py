"""What `txprof run` wants of the processes of a program, and how they get to know it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

VARIABLE = "_TXPROF_RUN"
"""The environment variable that carries the orders. (`TXPROF_...` are settings.)"""

BOOT = str(Path(__file__).parent / "boot")
"""A folder with nothing but a `sitecustomize`, which Python imports when it starts."""


class Orders(msgspec.Struct, frozen=True):
    """What each process is to do."""

    folder: str
    """Where its part goes."""
    stem: str
    """How the names of all parts of this run begin."""
    name: str
    """The profile's."""
    lines: tuple[str, ...] = ()
    """Names of functions to line-profile."""
    settings: dict[str, Any] = {}
    """Over those that the process finds for itself."""
    builtin: bool = False
    """Whether `profile` is a builtin, as under kernprof."""
    children: bool = False
    """Whether subprocesses that run Python are watched."""
    is_main: bool = False
    """Whether it goes to the program itself, not to a child of it."""

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> Orders:
        return msgspec.json.decode(text, type=cls)

    def as_child(self) -> Orders:
        """The orders for a child."""
        return msgspec.structs.replace(self, is_main=False)

    def part(self, pid: int, started: float) -> Path:
        """The file of a process."""
        return Path(self.folder) / f"{self.stem}-{pid}-{int(started * 1e6):x}.txprof"

    def parts(self) -> list[Path]:
        """The files there are."""
        return sorted(Path(self.folder).glob(f"{self.stem}-*.txprof"))


def environment(orders: Orders) -> dict[str, str]:
    """The environment in which Python starts a process with these orders."""
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        VARIABLE: orders.encode(),
        "PYTHONPATH": BOOT + (os.pathsep + path if path else ""),
    }


def clear_environment() -> None:
    """Leave the environment as the user made it."""
    os.environ.pop(VARIABLE, None)
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if path[0] == BOOT:
        if path[1:]:
            os.environ["PYTHONPATH"] = os.pathsep.join(path[1:])
        else:
            del os.environ["PYTHONPATH"]
