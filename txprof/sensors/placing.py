"""Putting wraps in when a library is imported, and taking them out again."""

from __future__ import annotations

import copy
import inspect
import pkgutil
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import wrapt

from txprof.around import ANNOTATIONS, Wrapper
from txprof.safety import note_once


@dataclass(frozen=True, slots=True)
class Target:
    """A function to wrap: "requests.sessions", "Session.send"."""

    module: str
    attribute: str
    wrapper: Wrapper


@dataclass(frozen=True, slots=True)
class Client:
    """A library that calls the outside world: what of it is wrapped, and how its calls look.

    `name` is that of its distribution, or of the module of the standard library; `shown` the target
    of a call, as an example. `docs/sensors.md` and `txprof doctor` are made from these.
    """

    name: str
    kind: str
    shown: str
    targets: tuple[Target, ...]


class BoundSensor(wrapt.BoundFunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """`Session.send` or `session.send`, where `send` is a Sensor."""

    __annotations__ = ANNOTATIONS

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        instance = getattr(self.__wrapped__, "__self__", None)
        return self if instance is None else getattr(copy.deepcopy(instance, memo), self.__name__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        instance = getattr(self.__wrapped__, "__self__", None)
        if instance is None:
            return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)
        return getattr, (instance, self.__name__)


class Sensor(wrapt.FunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A wrap of ours, to be told from others; looks, binds, copies, pickles like the function."""

    __bound_function_wrapper__ = BoundSensor
    __annotations__ = ANNOTATIONS

    def __init__(self, wrapped: Any, wrapper: Wrapper, *, inherited: bool) -> None:
        super().__init__(wrapped, wrapper)
        self._self_inherited = inherited

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)


class Placed(NamedTuple):
    """Where a wrap was put: an attribute of a class or module."""

    owner: Any
    name: str

    def restore(self) -> bool:
        """Put the original back. False if somebody wrapped it again since: theirs would break."""
        sensor = _sensor(vars(self.owner).get(self.name))
        if sensor is None:
            return False
        if sensor._self_inherited:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, sensor.__wrapped__)
        return True


_installed = False
_placed: dict[tuple[int, str], Placed] = {}
_targets: dict[Target, None] = {}
_resolved: dict[Target, tuple[ModuleType, Any, str]] = {}
"""Where a target was found last: its module, and the attribute's owner and name."""


def installed() -> bool:
    """Whether the sensors are in."""
    return _installed


def start() -> None:
    """From now on imported libraries are wrapped."""
    global _installed
    _installed = True


def place_when_imported(target: Target) -> None:
    """Wrap now if the module is there, else as soon as it is imported."""
    known = target in _targets
    _targets[target] = None
    if known or sys.modules.get(target.module) is not None:
        _place(target)
    else:
        wrapt.register_post_import_hook(
            lambda _module: _place(target, imported=True), target.module
        )


def place_pending() -> None:
    """Wrap again what is not: half imported in its turn, imported anew, freed by a mock's end."""
    # Runs as every profiled block begins, and nearly always finds all in place.
    for target in list(_targets):
        module = sys.modules.get(target.module)
        if module is None:
            continue
        known = _resolved.get(target)
        if known is None or known[0] is not module or not is_in(*known[1:]):
            _place(target)


def place(owner: Any, name: str, wrapper: Wrapper) -> Placed | None:
    """Wrap one attribute of a class or module; None if it is wrapped already."""
    if not issubclass(type(owner), type | ModuleType):
        raise TypeError(f"{owner!r} is neither a class nor a module")  # a mock in its place
    inherited = name not in vars(owner)
    original = inspect.getattr_static(owner, name, None) or getattr(owner, name)
    if _sensor(inspect.unwrap(original, stop=_sensor)) is not None:
        return None  # on top, or beneath the wraps of others
    setattr(owner, name, Sensor(original, wrapper, inherited=inherited))
    placed = _placed[id(owner), name] = Placed(owner, name)
    return placed


def is_in(owner: Any, name: str) -> bool:
    """Whether an attribute is a wrap of ours, with nothing of others on top."""
    return type(vars(owner).get(name)) is Sensor


def is_watched(target: Target) -> bool | None:
    """Whether our wrap is there, on top or beneath those of others; None if not imported."""
    module = sys.modules.get(target.module)
    if module is None:
        return None
    try:
        owner, name = resolve(module, target.attribute)
    except AttributeError:
        return False
    found = inspect.getattr_static(owner, name, None)
    return _sensor(inspect.unwrap(found, stop=_sensor)) is not None


def original(found: Any) -> Any:
    """What a wrap of ours is around; None for anything else."""
    return found.__wrapped__ if type(found) is Sensor else None


def forget(placed: Placed) -> None:
    """Take one wrap out."""
    if placed.restore():
        _placed.pop((id(placed.owner), placed.name), None)


def restore_all() -> None:
    """Take every wrap out. One that is wrapped by others stays, asleep, until the next time."""
    global _installed
    _installed = False
    for key, placed in list(_placed.items()):
        if placed.restore():
            del _placed[key]


def _place(target: Target, *, imported: bool = False) -> None:
    module = sys.modules.get(target.module)
    if not _installed or module is None:
        return
    try:
        owner, name = resolve(module, target.attribute)
        if "." not in target.attribute or isinstance(owner, type):
            _resolved[target] = (module, owner, name)
        if is_in(owner, name):
            _placed.setdefault((id(owner), name), Placed(owner, name))  # back from under a mock
        else:
            place(owner, name, target.wrapper)
    except Exception as error:  # the library changed: this sensor is blind, the program is well
        if imported or not half_imported(module):
            note_once(f"the sensor {target.module}:{target.attribute}", error)


def _sensor(found: Any) -> Any:
    """The wrap of ours that an attribute is; also when somebody put it back as a class gave it."""
    if type(found) is BoundSensor:
        return found._self_parent
    return found if type(found) is Sensor else None


def half_imported(module: ModuleType) -> bool:
    # A module that is being imported just now. `_initializing` is private to importlib; where it is
    # gone we take the module as complete.
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def resolve(module: ModuleType, attribute: str) -> tuple[Any, str]:
    owner: Any = module
    *parents, name = attribute.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    getattr(owner, name)
    return owner, name
