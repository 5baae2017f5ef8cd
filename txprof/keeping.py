"""Whether objects have another one in their keeping."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

_MOST = 20_000
"""Objects that are looked at: what keeps a connection of its own is no longer way from it."""

_NEVER = (type, ModuleType, CodeType)
"""From these everything that is imported is reached."""


def has(keepers: Iterable[Any], kept: Any, *, besides: tuple[type, ...] = ()) -> bool:
    """Whether one of these objects refers to `kept`, itself or by way of others.

    By what objects are made of, without the globals of functions. A generator's frame counts: what
    a fixture has in a variable while it waits for the test to end. No way leads through objects of
    the types `besides`.
    """
    never = (*_NEVER, *besides)
    seen: set[int] = set()
    objects = list(keepers)
    # The nearest first. The list keeps them alive, so that no id is given away again.
    for each in objects:
        if each is kept:
            return True
        if id(each) in seen or isinstance(each, never):
            continue
        seen.add(id(each))
        if len(seen) > _MOST:
            return False
        if isinstance(each, FunctionType):
            objects += each.__closure__ or ()
        elif gc.is_tracked(each):
            objects += gc.get_referents(each)
    return False
