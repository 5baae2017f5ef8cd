"""From what a user names to the functions whose lines are timed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any


def functions_of(target: Any) -> list[FunctionType]:
    """The Python functions behind a callable: unwrapped, unbound; of a class, every method.

    TypeError for what has no Python code to time.
    """
    if isinstance(target, type):
        found = list(methods_of(target).values())
        functions = [function for method in found for function in functions_of(method)]
        if not functions:
            raise TypeError(f"cannot profile {target!r}: the class defines no Python methods")
        return functions
    function = _function(target)
    if function is None:
        raise TypeError(
            f"cannot profile {target!r}: expected a Python function, method or class, "
            f"not {type(target).__name__}"
        )
    return [function]


def methods_of(owner: type) -> dict[str, Any]:
    """The methods that a class itself defines in source: name -> what its namespace holds."""
    return {
        name: member
        for name, member in vars(owner).items()
        if not isinstance(member, type)
        and (function := _function(member)) is not None
        and not function.__code__.co_filename.startswith("<string>")
        and _is_written_in(function, owner)
    }


def _is_written_in(function: FunctionType, owner: type) -> bool:
    # Generated methods (a dataclass's __init__) and borrowed ones have no lines of this class.
    return function.__qualname__.startswith(f"{owner.__qualname__}.")


def _function(target: Any) -> FunctionType | None:
    for layer in _layers(target):
        # An exact type: a proxy such as wrapt's looks like a function and is none.
        if type(layer) is FunctionType:
            innermost = layer
            while hasattr(innermost, "__wrapped__"):
                inner = _function(innermost.__wrapped__)
                if inner is None:
                    return layer
                innermost = inner
            return innermost
    return None


def _layers(target: Any) -> Iterator[Any]:
    seen = 0
    while target is not None and seen < 100:
        yield target
        seen += 1
        if isinstance(target, functools.partial | functools.partialmethod):
            target = target.func
        elif isinstance(target, property):
            target = target.fget
        elif isinstance(target, functools.cached_property):
            target = target.func
        elif inspect.ismethod(target) or isinstance(target, classmethod | staticmethod):
            target = target.__func__
        else:
            target = getattr(target, "__wrapped__", None)
