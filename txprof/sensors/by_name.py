"""Functions that the application imported by name: `from time import sleep`.

One that it imported before the sensors went in is wrapped where it is bound; one that it imported
while they were in is the wrap, and gets the original back when they come out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from txprof import callsite
from txprof.safety import note_once
from txprof.sensors import placing
from txprof.sensors.placing import Target

_originals: dict[int, tuple[Any, Target]] = {}
"""By id: the functions of modules that are wrapped."""


def place(targets: Iterable[Target]) -> None:
    """Wrap these in the application's modules as well."""
    for target in targets:
        module = sys.modules.get(target.module)
        if module is not None and "." not in target.attribute:
            original = placing.original(vars(module).get(target.attribute))
            if original is not None:
                _originals[id(original)] = original, target
    for module in _modules():
        file = vars(module).get("__file__")
        if isinstance(file, str) and callsite.is_application(file):
            for name, value in list(vars(module).items()):
                known = _originals.get(id(value))
                if known is not None and known[0] is value:
                    _place(module, name, known[1])


def restore() -> None:
    """Give whoever imported a wrap the original."""
    for module in _modules():
        # In a big program there are 100,000 names to look at.
        ours = [
            (name, value)
            for name, value in list(vars(module).items())
            if type(value) is placing.Sensor
        ]
        for name, value in ours:
            original = placing.original(value)
            if id(original) in _originals:
                vars(module)[name] = original
    _originals.clear()


def _place(module: ModuleType, name: str, target: Target) -> None:
    try:
        placing.place(module, name, target.wrapper)
    except Exception as error:  # a module that cannot be written to
        note_once(f"the sensor {target.module}:{target.attribute}", error)


def _modules() -> Iterator[ModuleType]:
    return (each for each in list(sys.modules.values()) if type(each) is ModuleType)
