"""A function that txprof wraps is the function that it was, to whoever looks at it."""

from __future__ import annotations

import asyncio
import copy
import inspect
import multiprocessing
import pickle
import typing
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import watched
from same_functions import FUNCTIONS, every_function

import txprof


@every_function
def test_annotations_are_the_functions_whoever_asked_its_class(wrap: Any, function: Any) -> None:
    wrapped = wrap(function)
    for owner in type(wrapped).__mro__:
        getattr(owner, "__annotations__", None)  # gives a class of wrapt's an empty one
    assert wrapped.__annotations__ == function.__annotations__
    assert typing.get_type_hints(wrapped) == typing.get_type_hints(function)


@every_function
def test_inspect_answers_as_before(wrap: Any, function: Any) -> None:
    wrapped = wrap(function)
    assert wrapped is not function
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert typing.get_type_hints(wrapped) == typing.get_type_hints(function)
    for ask in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.getsource,
        inspect.getsourcefile,
        inspect.getdoc,
        inspect.getmodule,
        inspect.getfullargspec,
        callable,
    ):
        assert ask(wrapped) == ask(function), ask
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__defaults__"):
        assert getattr(wrapped, name) == getattr(function, name)
    assert wrapped.__kwdefaults__ == function.__kwdefaults__
    assert wrapped.__annotations__ == function.__annotations__


class Method:
    def plain(self, __private: int, error: int = 1, /, call: int = 2, *value: int) -> Any:
        return __private, error, call, value

    def generator(self, generator: int, *, step: int = 3, **value: int) -> Iterator[Any]:
        yield generator, step, value

    async def coroutine(self, call: int, *, error: int) -> Any:
        return call, error


def test_line_profiled_functions_take_the_same_arguments() -> None:
    functions: list[Any] = [*FUNCTIONS, Method.plain, Method.generator, Method.coroutine]
    before = [inspect.signature(function) for function in functions]
    names = [function.__code__.co_varnames[:1] for function in functions]
    with txprof.profile(*functions):
        assert [inspect.signature(function) for function in functions] == before
        assert [function.__code__.co_varnames[:1] for function in functions] == names
        assert Method().plain(1, 5, 6, 7, 8) == (1, 5, 6, (7, 8))
        assert list(Method().generator(1, a=2)) == [(1, 3, {"a": 2})]
        assert asyncio.run(Method().coroutine(1, error=2)) == (1, 2)
        for function in functions:  # at the call, not at the first step
            with pytest.raises(TypeError, match=r"missing|takes"):
                function()


@pytest.mark.parametrize("kind", ["charge", "of", "fee"])
def test_watched_methods_stay_what_they_were(kind: str) -> None:
    before = watched.Client.__dict__[kind]
    signature = inspect.signature(getattr(watched.Client, kind))
    with txprof.watch(f"watched:Client.{kind}", kind="rpc"):
        assert getattr(watched.Client(), kind)(3) in (6, 9)
        assert inspect.signature(getattr(watched.Client, kind)) == signature
        assert isinstance(watched.Client.__dict__[kind], type(before))
    assert watched.Client.__dict__[kind] is before


def test_watching_twice_wraps_once_and_unwatching_restores() -> None:
    original = watched.charge
    first = txprof.watch("watched:charge", kind="rpc")
    once = watched.charge
    second = txprof.watch(watched.charge, kind="rpc")
    assert watched.charge is once
    second.unwatch()
    first.unwatch()
    assert watched.charge is original


def test_uninstall_takes_watches_out() -> None:
    original = watched.charge
    txprof.watch("watched:charge", kind="rpc")
    assert watched.charge is not original
    txprof.uninstall()
    assert watched.charge is original


def test_a_profiled_function_pickles_copies_and_compares() -> None:
    assert pickle.loads(pickle.dumps(profiled_by_name)) is profiled_by_name
    assert copy.copy(profiled_by_name) is profiled_by_name
    assert copy.deepcopy({"f": profiled_by_name})["f"] is profiled_by_name
    assert weakref.ref(profiled_by_name)() is profiled_by_name
    assert hash(profiled_by_name) == hash(profiled_by_name)
    bound = pickle.loads(pickle.dumps(Holder().method))
    assert bound(2) == 4


@txprof.profile(report=None)
def profiled_by_name(number: int) -> int:
    return number + 1


class Holder:
    @txprof.profile(report=None)
    def method(self, number: int) -> int:
        return number * 2


def test_a_profiled_function_runs_in_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(profiled_by_name, 1).result(timeout=60) == 2
