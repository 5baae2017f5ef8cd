"""Functions of the user's own: watched as external calls, or allowed to break a rule."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import wrapt

from txprof import sensors
from txprof.around import ANNOTATIONS, around
from txprof.policy import Allowance, allowances
from txprof.sensors import placing
from txprof.sensors.external import Described, ExternalCall, begin

logger = logging.getLogger("txprof")

F = TypeVar("F", bound=Callable[..., Any])

_TARGET = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<attribute>\w+(?:\.\w+)*)")

_watches: list[Watch] = []


class Watch:
    """A watched function; `unwatch()`, or leaving it as a `with` block, restores the original."""

    def __init__(self, target: Any, *, kind: str, name: str | None) -> None:
        module, attribute = _named(target)
        self.target = f"{module}:{attribute}"
        self._module = module
        self._attribute = attribute
        self._described = Described(kind, name or f"{module}.{attribute}")
        self._placed: placing.Placed | None = None
        self._on = True
        sensors.install()
        if module in sys.modules and not placing.half_imported(sys.modules[module]):
            self._place()
        else:
            wrapt.register_post_import_hook(lambda _module: self._place_quietly(), module)
        _watches.append(self)

    def unwatch(self) -> None:
        """Put the original back."""
        self._on = False
        if self._placed is not None:
            placing.forget(self._placed)
            self._placed = None
        if self in _watches:
            _watches.remove(self)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.unwatch()

    def _place(self) -> None:
        if not self._on:
            return
        module = sys.modules[self._module]
        try:
            owner, attribute = placing.resolve(module, self._attribute)
        except AttributeError as error:
            raise ValueError(f"cannot watch {self.target!r}: {error}") from error
        function = getattr(owner, attribute)
        if not callable(function):
            raise TypeError(f"cannot watch {self.target!r}: {function!r} is not callable")
        described = self._described
        raw = vars(owner).get(attribute, function)
        self._placed = placing.place(owner, attribute, around(raw, lambda: _WatchedCall(described)))

    def _place_quietly(self) -> None:
        # The module's own import must not fail because of us.
        try:
            self._place()
        except (TypeError, ValueError) as error:
            logger.warning("txprof: %s", error)


class _WatchedCall:
    """A span (`txprof.around`) that is an external call from its first step to its last."""

    __slots__ = ("_call", "_described", "_started")

    def __init__(self, described: Described) -> None:
        self._described = described
        self._call: ExternalCall | None = None
        self._started = False

    def enter(self) -> None:
        """The call starts, or goes on."""
        if not self._started:
            self._started = True
            self._call = begin(self._described)
        elif self._call is not None:
            self._call.enter()

    def leave(self) -> None:
        """It returned, or waits for its consumer."""
        if self._call is not None:
            self._call.leave()

    def end(self, *, failed: bool) -> None:
        """Nothing is left to do."""


def unwatch_all() -> None:
    """Put every original back."""
    for watch in list(_watches):
        watch.unwatch()


def _named(target: Any) -> tuple[str, str]:
    if isinstance(target, str):
        match = _TARGET.fullmatch(target)
        if match is None:
            raise ValueError(
                f"cannot watch {target!r}: expected 'module:attribute', "
                "such as 'billing.client:Client.charge'"
            )
        return match["module"], match["attribute"]
    module = getattr(target, "__module__", None)
    attribute = getattr(target, "__qualname__", None)
    if not callable(target) or not module or not attribute or "<" in attribute:
        raise TypeError(
            f"cannot watch {target!r}: expected a function or method that has a name in a module, "
            "or that name as 'module:attribute'"
        )
    return module, attribute


class _Allowing:
    """A span during which a rule may be broken."""

    __slots__ = ("_allowance", "_token")

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._token: Any = None

    def enter(self) -> None:
        self._token = allowances.set((*allowances.get(), self._allowance))

    def leave(self) -> None:
        try:
            allowances.reset(self._token)
        except ValueError:  # a generator that is stepped from different contexts
            pass

    def end(self, *, failed: bool) -> None:
        pass


class _BoundAllowed(wrapt.BoundFunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A method that may break a rule."""

    __annotations__ = ANNOTATIONS


class _Allowed(wrapt.FunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A function that may break a rule."""

    __bound_function_wrapper__ = _BoundAllowed
    __annotations__ = ANNOTATIONS


def allowed_function(function: F, allowance: Allowance) -> F:
    """The function, allowed to break a rule while it runs."""
    if not callable(function) and not isinstance(function, classmethod | staticmethod):
        raise TypeError(f"allow() decorates functions, not {function!r}")
    wrapper = around(function, lambda: _Allowing(allowance))
    return cast(F, _Allowed(function, wrapper))
