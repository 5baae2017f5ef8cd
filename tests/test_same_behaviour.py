"""A program behaves the same with and without txprof: results, errors, tracebacks, signatures."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import inspect
import multiprocessing
import pickle
import traceback
import typing
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import watched
from sqlalchemy import Engine, exc, text

import txprof


def plain(a: int, b: str = "x", *args: int, c: float = 1.0, **kwargs: Any) -> str:
    """Plain."""
    if a < 0:
        raise ValueError("negative")
    return f"{a}{b}{args}{c}{kwargs}"


async def coroutine(a: int, b: str = "x") -> str:
    """Coroutine."""
    await asyncio.sleep(0)
    if a < 0:
        raise ValueError("negative")
    return f"{a}{b}"


def generator(a: int) -> Iterator[int]:
    """Generator."""
    received = []
    try:
        for number in range(a):
            try:
                received.append((yield number))
            except KeyError as error:
                received.append(error.args[0])
    finally:
        received.append("closed")
    if a > 5:
        raise ValueError("too many")
    return received


async def async_generator(a: int) -> AsyncIterator[int]:
    """Async generator."""
    for number in range(a):
        await asyncio.sleep(0)
        yield number
    if a > 5:
        raise ValueError("too many")


FUNCTIONS = [plain, coroutine, generator, async_generator]


@pytest.fixture(params=["profile", "allow", "watch"])
def wrap(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    """profile, allow or watch, as a function that wraps; undone when the test ends."""
    if request.param == "profile":
        yield txprof.profile(report=None)
    elif request.param == "allow":
        yield txprof.allow("io-in-transaction", reason="test")
    else:
        with contextlib.ExitStack() as stack:

            def watch(function: Any) -> Any:
                stack.enter_context(txprof.watch(function, kind="rpc"))
                return functools.reduce(
                    getattr, function.__qualname__.split("."), inspect.getmodule(function)
                )

            yield watch


@pytest.fixture(autouse=True)
def watching() -> Iterator[None]:
    with txprof.profile(on_finding="ignore"):
        yield


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_annotations_are_the_functions_whoever_asked_its_class(wrap: Any, function: Any) -> None:
    wrapped = wrap(function)
    for owner in type(wrapped).__mro__:
        getattr(owner, "__annotations__", None)  # gives a class of wrapt's an empty one
    assert wrapped.__annotations__ == function.__annotations__
    assert typing.get_type_hints(wrapped) == typing.get_type_hints(function)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
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


def test_results_are_the_same(wrap: Any) -> None:
    assert wrap(plain)(1, "b", 3, c=2.0, d=4) == plain(1, "b", 3, c=2.0, d=4)
    assert asyncio.run(wrap(coroutine)(1)) == asyncio.run(coroutine(1))


def drive(make: Any) -> list[Any]:
    """Everything one can do to a generator."""
    gen = make(4)
    seen: list[Any] = [inspect.isgenerator(gen), gen.__name__, next(gen), gen.send("sent")]
    seen.append(gen.throw(KeyError("thrown")))
    seen.append(next(gen))
    try:
        next(gen)
    except StopIteration as stop:
        seen.append(stop.value)
    closed = make(3)
    next(closed)
    closed.close()
    seen.append(list(make(0)))

    def delegate() -> Any:
        return (yield from make(2))

    outer = delegate()
    seen += [next(outer), next(outer)]
    try:
        next(outer)
    except StopIteration as stop:
        seen.append(stop.value)
    return seen


def test_generators_do_the_same(wrap: Any) -> None:
    expected = drive(generator)
    assert drive(wrap(generator)) == expected


def test_async_generators_do_the_same(wrap: Any) -> None:
    async def consume(make: Any) -> list[Any]:
        first = make(3)
        seen: list[Any] = [inspect.isasyncgen(first), await first.asend(None)]
        await first.aclose()
        return seen + [item async for item in make(3)]

    expected = asyncio.run(consume(async_generator))
    assert asyncio.run(consume(wrap(async_generator))) == expected


def returning() -> Iterator[int]:
    try:
        yield 1
    except GeneratorExit:
        return "closed"  # type: ignore[return-value]


def test_closing_a_generator_returns_the_same(wrap: Any) -> None:
    def close(make: Any) -> Any:
        started = make()
        next(started)
        return started.close()  # from 3.13 on what the generator returns

    assert close(wrap(returning)) == close(returning)


async def cleaning_up() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await asyncio.sleep(0.01)


def test_the_event_loop_closes_an_async_generator_that_is_left(wrap: Any) -> None:
    errors = []
    kept = []

    async def leave(make: Any) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: errors.append(about))
        left = make()
        kept.append(left)
        assert await anext(left) == 1

    asyncio.run(leave(wrap(cleaning_up)))
    assert errors == []


def test_a_context_manager_over_it_catches_exceptions(wrap: Any) -> None:
    manager = contextlib.contextmanager(wrap(guard))
    with manager() as caught:
        raise LookupError("mine")
    assert [type(error) for error in caught] == [LookupError]


def guard() -> Iterator[list[BaseException]]:
    caught: list[BaseException] = []
    try:
        yield caught
    except LookupError as error:
        caught.append(error)


def frames_of(call: Callable[[], Any]) -> tuple[type[BaseException], Any, list[tuple[str, str]]]:
    """The error a call raises, and the frames of its traceback below ours."""
    try:
        call()
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        return type(error), error.args, [(f.filename, f.name) for f in frames][1:]
    raise AssertionError("raised nothing")


def raising(make: Any, how: str) -> Callable[[], Any]:
    async def consume() -> list[int]:
        return [item async for item in make(6)]

    return {
        "plain": lambda: make(-1),
        "coroutine": lambda: asyncio.run(make(-1)),
        "generator": lambda: list(make(6)),
        "async_generator": lambda: asyncio.run(consume()),
    }[how]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_exceptions_and_tracebacks_are_the_same(wrap: Any, function: Any) -> None:
    expected = frames_of(raising(function, function.__name__))
    assert frames_of(raising(wrap(function), function.__name__)) == expected


def test_an_exception_thrown_in_has_the_same_traceback(wrap: Any) -> None:
    def throw(make: Any) -> None:
        gen = make(3)
        next(gen)
        gen.throw(OSError("thrown"))

    expected = frames_of(lambda: throw(generator))
    assert frames_of(lambda: throw(wrap(generator))) == expected


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_bad_arguments_raise_the_same_type_error(wrap: Any, function: Any) -> None:
    expected = frames_of(lambda: function())
    assert frames_of(lambda: wrap(function)()) == expected


def test_cancellation_passes_through(wrap: Any) -> None:
    wrapped = wrap(sleeper)

    async def main() -> str:
        task = asyncio.create_task(wrapped())
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return "cancelled" if task.cancelled() else "swallowed"
        return "finished"

    assert asyncio.run(main()) == "cancelled"


def test_a_coroutine_that_never_starts_is_not_said_to_be_never_awaited(wrap: Any) -> None:
    wrapped = wrap(sleeper)

    async def cancelled() -> None:
        task = asyncio.create_task(wrapped())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        asyncio.run(cancelled())
        wrapped().close()
    assert not [one for one in warned if "never awaited" in str(one.message)]


def test_one_that_nobody_awaits_is_said_once(wrap: Any) -> None:
    wrapped = wrap(sleeper)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        wrapped()
    said = [str(one.message) for one in warned if "never awaited" in str(one.message)]
    assert said == ["coroutine 'sleeper' was never awaited"]


async def sleeper() -> None:
    await asyncio.sleep(60)


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


# Databases


def core(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        connection.execute(text("UPDATE product SET name = :name WHERE id = 1"), {"name": "é"})
        return list(connection.execute(text("SELECT id, name FROM product ORDER BY id")))


def failing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))


def exhausted(engine: Engine) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(engine.connect())


@pytest.mark.parametrize("program", [failing, exhausted], ids=lambda f: f.__name__)
def test_database_errors_have_the_same_traceback(engine: Engine, program: Any) -> None:
    with_txprof = frames_of(lambda: program(engine))
    txprof.uninstall()
    without = frames_of(lambda: program(engine))
    assert with_txprof[0] is without[0]
    assert issubclass(without[0], exc.SQLAlchemyError)
    assert str(with_txprof[1]) == str(without[1])
    assert with_txprof[2] == without[2]


def test_statements_return_the_same(engine: Engine) -> None:
    with_txprof = core(engine)
    txprof.uninstall()
    assert core(engine) == with_txprof


def test_uninstall_gives_a_dialect_its_own_methods_back(engine: Engine) -> None:
    with engine.connect():
        assert "do_execute" in vars(engine.dialect)
    txprof.uninstall()
    assert "do_execute" not in vars(engine.dialect)
    assert not any(name.startswith("do_") for name in vars(engine.dialect))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
