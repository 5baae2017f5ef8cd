"""Putting wraps in when a library is imported, and taking them out again."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import wrapt

from txprof.around import ANNOTATIONS, Wrapper
from txprof.safety import drop_own_frame, note_once, passing_for


class Target(NamedTuple):
    """A function to wrap: "requests.sessions", "Session.send"."""

    module: str
    attribute: str
    wrapper: Wrapper
    optional: bool = False
    """Whether supported versions of the library are without it."""


class Client(NamedTuple):
    """A library that calls the outside world: what of it is wrapped, and how its calls look.

    `name` is that of its distribution, or of the module of the standard library; `shown` the target
    of a call, as an example. `unseen` is what calls go out through too, and cannot be wrapped.
    `docs/sensors.md` and `txprof doctor` are made from these.
    """

    name: str
    kind: str
    shown: str
    targets: tuple[Target, ...]
    unseen: tuple[str, ...] = ()


Wanted = Callable[[Any], object]
"""(instance) -> whether a wrap has anything to do for a call of it."""

_WANTED = "_txprof_wanted"


def only_where(wanted: Wanted) -> Callable[[Wrapper], Wrapper]:
    """Marks a wrapper that is not to be called but where `wanted(instance)` is true.

    Asked for every call of a library, mostly in vain: it must be fast, and cannot raise.
    """

    def mark(wrapper: Wrapper) -> Wrapper:
        setattr(wrapper, _WANTED, wanted)
        return wrapper

    return mark


def _method(original: Any, wrapper: Wrapper, wanted: Wanted) -> Any:
    """What a method is bound from: wrapt's own way takes longer than what a call may cost."""

    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            instance = args[0]
            if wanted(instance):
                return wrapper(MethodType(original, instance), instance, args[1:], kwargs)
            return original(*args, **kwargs) if kwargs else original(*args)
        except BaseException as error:
            drop_own_frame(error)
            raise

    method = passing_for(original.__module__ or __name__, method)
    functools.update_wrapper(method, original)
    if inspect.iscoroutinefunction(original):
        inspect.markcoroutinefunction(method)
    return method


def _is_stepped(original: Any) -> bool:
    """Whether it is a generator function of either kind, which only its code tells."""
    return inspect.isgeneratorfunction(original) or inspect.isasyncgenfunction(original)


def _is_plain_method(original: Any) -> bool:
    if type(original) is not FunctionType or _is_stepped(original):
        return False
    # Before 3.12 only their code tells what coroutine functions are.
    return sys.version_info >= (3, 12) or not inspect.iscoroutinefunction(original)


_methods: dict[int, Any] = {}
"""By the id of a Sensor: what it binds. It is faster to find here than on the proxy that it is."""

_stepped: dict[int, Wanted] = {}
"""By the id of a Sensor of a generator function: where it does not bind the function itself."""


def _forget(sensor: Any) -> None:
    _methods.pop(id(sensor), None)
    _stepped.pop(id(sensor), None)


def _resolved(function: Any) -> tuple[Any, tuple[str]]:
    """How a pickle finds a function again."""
    import pkgutil  # nobody else in the program may need it

    return pkgutil.resolve_name, (f"{function.__module__}:{function.__qualname__}",)


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
            return _resolved(self)
        return getattr, (instance, self.__name__)


class Sensor(wrapt.FunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A wrap of ours, to be told from others; looks, binds, copies, pickles like the function."""

    __bound_function_wrapper__ = BoundSensor
    __annotations__ = ANNOTATIONS

    def __init__(self, wrapped: Any, wrapper: Wrapper, owner: Any, *, inherited: bool) -> None:
        wanted: Wanted | None = getattr(wrapper, _WANTED, None)
        enabled: Any = None
        _forget(self)  # one that was there before
        if wanted is not None and not isinstance(owner, type):
            enabled = functools.partial(wanted, None)
        elif wanted is not None and _is_plain_method(wrapped):
            _methods[id(self)] = _method(wrapped, wrapper, wanted)
        elif wanted is not None and _is_stepped(wrapped):
            _stepped[id(self)] = wanted
        super().__init__(wrapped, wrapper, enabled=enabled)
        self._self_inherited = inherited

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return super().__get__(instance, owner)
        method = _methods.get(id(self))
        if method is not None:
            return MethodType(method, instance)
        wanted = _stepped.get(id(self))
        if wanted is not None and not wanted(instance):
            return MethodType(self.__wrapped__, instance)
        return super().__get__(instance, owner)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _resolved(self)


class Placed:
    """Where a wrap was put: an attribute of a class or module."""

    __slots__ = ("name", "owner")

    def __init__(self, owner: Any, name: str) -> None:
        self.owner = owner
        self.name = name

    def restore(self) -> bool:
        """Put the original back. False if somebody wrapped it again since: theirs would break.

        Unless by wrapt, like us: then it is put back beneath theirs.
        """
        found = vars(self.owner).get(self.name)
        above = _innermost(found)
        sensor = _sensor(found if above is None else above.__wrapped__)
        if sensor is None:
            return False
        _forget(sensor)  # who still has it binds as wrapt does
        if above is not None:
            above.__wrapped__ = sensor.__wrapped__
        elif sensor._self_inherited:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, sensor.__wrapped__)
        return True


_installed = False
_placed: dict[tuple[int, str], Placed] = {}
_targets: dict[Target, tuple[Target, ModuleType | None, Mapping[str, Any], str, Any]] = {}
"""And where the wrap of each was found last: in which module, among whose attributes, by which
name, and the wrap. No module: nowhere where it could be looked for again."""


def _nowhere(target: Target) -> tuple[Target, None, Mapping[str, Any], str, None]:
    return target, None, {}, "", None


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
    _targets.setdefault(target, _nowhere(target))
    if known or sys.modules.get(target.module) is not None:
        _place(target)
    else:
        wrapt.register_post_import_hook(
            lambda _module: _place(target, imported=True), target.module
        )


def place_now(target: Target, *, imported: bool = False) -> None:
    """Wrap it if its module is there, and again when it is not wrapped as a profile begins.

    `imported`: just now, in full.
    """
    _targets.setdefault(target, _nowhere(target))
    _place(target, imported=imported)


def withdraw(target: Target) -> None:
    """Do not wrap it again, nor when it is imported."""
    _targets.pop(target, None)


def place_pending() -> None:
    """Wrap again what is not: half imported in its turn, imported anew, freed by a mock's end."""
    # Runs as every profiled block begins, and nearly always finds all in place: no call for each,
    # nothing made for it, and no look at more than need be (benchmarks/plugin.py).
    modules = sys.modules
    for target, module, attributes, name, wrap in list(_targets.values()):
        found = modules.get(target.module)
        if found is not None and (found is not module or attributes.get(name) is not wrap):
            _place(target)


def place(owner: Any, name: str, wrapper: Wrapper, *, beneath: bool = False) -> Placed | None:
    """Wrap one attribute of a class or module; None if it is wrapped already.

    `beneath` the wraps by wrapt of other tools: whoever unwraps that way takes the topmost one off,
    without asking whose it is.
    """
    if not issubclass(type(owner), type | ModuleType):
        raise TypeError(f"{owner!r} is neither a class nor a module")  # a mock in its place
    inherited = name not in vars(owner)
    original = inspect.getattr_static(owner, name, None) or getattr(owner, name)
    if _sensor(inspect.unwrap(original, stop=_sensor)) is not None:
        return None  # on top, or beneath the wraps of others
    above = _innermost(original) if beneath and not inherited else None
    if above is None:
        setattr(owner, name, Sensor(original, wrapper, owner, inherited=inherited))
    else:
        above.__wrapped__ = Sensor(above.__wrapped__, wrapper, owner, inherited=False)
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
    if not _installed or module is None or target not in _targets:
        return
    try:
        owner, name = resolve(module, target.attribute)
        if is_in(owner, name):
            _placed.setdefault((id(owner), name), Placed(owner, name))  # back from under a mock
        else:
            place(owner, name, target.wrapper, beneath=True)
        _targets[target] = _nowhere(target)
        if is_in(owner, name) and ("." not in target.attribute or isinstance(owner, type)):
            attributes = vars(owner)
            _targets[target] = (target, module, attributes, name, attributes[name])
    except Exception as error:  # the library changed: this sensor is blind, the program is well
        if not target.optional and (imported or not half_imported(module)):
            note_once(f"the sensor {target.module}:{target.attribute}", error)


def _innermost(found: Any) -> Any:
    """Of the wraps by wrapt that somebody else put in, one around the other, the innermost."""
    innermost = None
    while issubclass(type(found), wrapt.FunctionWrapper) and type(found) is not Sensor:
        innermost, found = found, found.__wrapped__
    return innermost


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
