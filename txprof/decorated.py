"""Decorated functions and classes. Apart from `api` because wrapt takes a while to import."""

from __future__ import annotations

import functools
from types import FunctionType
from typing import Any

import wrapt

from txprof.around import ANNOTATIONS, around
from txprof.lines.targets import functions_of, methods_of
from txprof.results import Profile
from txprof.runs import DecoratedRun
from txprof.settings import Settings


class Profiled(wrapt.FunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A profiled function. Looks, binds, pickles and answers `inspect` as the function itself.

    `function.__txprof__` is its live `txprof.Profile`; `with function as prof:` profiles a block.
    """

    __annotations__ = ANNOTATIONS

    def __init__(self, wrapped: Any, run: DecoratedRun, functions: list[FunctionType]) -> None:
        super().__init__(wrapped, around(wrapped, functools.partial(run.span, functions)))
        self._self_run = run
        self._self_blocks: list[Any] = []

    @property
    def __txprof__(self) -> Profile:
        return self._self_run.profile

    def __enter__(self) -> Profile:
        from txprof.profiling import Profiling

        block = Profiling((self.__wrapped__,), None, None, self._self_run.collector.settings)
        self._self_blocks.append(block)
        return block.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._self_blocks.pop().__exit__(*error)

    async def __aenter__(self) -> Profile:
        return self.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self.__exit__(*error)

    def __copy__(self) -> Profiled:
        return self

    def __deepcopy__(self, memo: Any) -> Profiled:
        return self

    def __reduce_ex__(self, protocol: Any) -> str:
        return str(self.__wrapped__.__qualname__)


class BoundProfiled(wrapt.BoundFunctionWrapper):  # type: ignore[misc, type-arg, unused-ignore]
    """A profiled method of an object or class; pickles as a bound method does."""

    __annotations__ = ANNOTATIONS

    def __reduce_ex__(self, protocol: Any) -> Any:
        bound: Any = self.__wrapped__
        return getattr, (bound.__self__, bound.__name__)


setattr(Profiled, "__bound_function_wrapper__", BoundProfiled)  # noqa: B010  (untyped in wrapt)


def decorate(target: Any, name: str | None, settings: Settings) -> Any:
    """The function, profiled; or the class, with every method of it profiled in place."""
    functions = functions_of(target)
    run = DecoratedRun(name or name_of(target), functions, settings)
    if not isinstance(target, type):
        return Profiled(target, run, functions)
    for member_name, member in methods_of(target).items():
        if isinstance(member, FunctionType | classmethod | staticmethod):
            setattr(target, member_name, Profiled(member, run, functions))
    return target


def name_of(target: Any) -> str:
    """`Researcher.exec`, without the function it was defined in."""
    qualified = getattr(target, "__qualname__", None)
    if not isinstance(qualified, str):
        qualified = functions_of(target)[0].__qualname__
    return qualified.rpartition("<locals>.")[2]
