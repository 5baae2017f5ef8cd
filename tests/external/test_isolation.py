"""Whatever breaks inside a sensor, the program goes on as it does without txprof: every target.

Each target of every client is broken on purpose: its attribute gone, its description, its result
and its object hostile, and what all of them rest on. A new row is tried here without being named.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import CoroutineType
from typing import Any

import pytest
from helpers import calls_seen
from sqlalchemy import Connection, Engine, create_engine, text

import txprof
from txprof import callsite, collector, context, doctor, rules, sensors
from txprof.sensors import external, going_on, placing, transactions
from txprof.sensors.external import Described, watched, watched_coroutine
from txprof.sensors.placing import Client, Target

pytestmark = pytest.mark.breaks_a_sensor

TARGETS = sensors.targets()

every_client = pytest.mark.parametrize(
    "client",
    [*sensors.clients(), Client("txprof", "", "", sensors.OTHERS)],
    ids=lambda client: client.name,
)
every_target = pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: f"{target.module}:{target.attribute}"
)


class Broken(RuntimeError):
    """Of txprof's own, or of a library that changed."""


class Hostile:
    """A library's object that answers nothing it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise Broken(name)

    def __len__(self) -> int:
        raise Broken("len")

    def __eq__(self, other: object) -> bool:
        raise Broken("==")

    def __hash__(self) -> int:
        raise Broken("hash")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


@pytest.fixture
def open_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that is open while a profile watches."""
    with txprof.profile(on_finding="ignore"), engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        yield connection


@pytest.fixture(autouse=True)
def anew(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything is logged; what failed in one test is tried again in the next."""
    caplog.set_level(logging.DEBUG, logger="txprof")
    yield
    external.descriptions.reset()


@pytest.fixture(scope="module", autouse=True)
def taken_out() -> Iterator[None]:
    """No sensor is left in."""
    txprof.uninstall()
    yield
    txprof.uninstall()


def noted(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What gave way, in order: each once, at debug level, or it fails."""
    records = [record for record in caplog.records if record.name == "txprof"]
    assert {record.levelno for record in records} <= {logging.DEBUG}
    found = [
        record.getMessage().removeprefix("txprof: ").partition(" gave way")[0] for record in records
    ]
    assert len(set(found)) == len(found)
    return found


def found_at(target: Target) -> tuple[Any, str]:
    """Owner and name of what a target wraps, imported for the test; skips what is not here."""
    try:
        module = importlib.import_module(target.module)
    except ImportError as error:
        pytest.skip(f"not installed: {error.name}")
    return placing.resolve(module, target.attribute)


def here(client: Client) -> list[Target]:
    """Its targets whose modules are installed; with no sensor in."""
    txprof.uninstall()
    found = []
    for target in client.targets:
        with contextlib.suppress(ImportError):
            importlib.import_module(target.module)
            found.append(target)
    if not found:
        pytest.skip("not installed")
    return found


# --- its attribute is gone ----------------------------------------------------------------------


@every_client
def test_functions_that_are_gone_are_noted_once_and_the_rest_goes_in(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone, inherited = [], []
    for target in here(client):
        owner, name = placing.resolve(sys.modules[target.module], target.attribute)
        for each in getattr(owner, "__mro__", [owner]):
            if name in vars(each) and not is_immutable(each):
                monkeypatch.delattr(each, name)
        (inherited if hasattr(owner, name) else gone).append(target)
    for _ in range(2):
        with txprof.profile():
            pass
    found = {*noted(caplog)}
    missed = [f"{one.module}:{one.attribute}" for one in gone if not one.optional]
    spared = [f"{one.module}:{one.attribute}" for one in gone if one.optional]
    assert {f"the sensor {each}" for each in missed} <= found
    assert not {f"the sensor {each}" for each in spared} & found
    assert [placing.is_watched(target) for target in gone] == [False] * len(gone)
    rest = [one for one in TARGETS if one.module not in {target.module for target in gone}]
    assert False not in [placing.is_watched(target) for target in [*rest, *inherited]]
    examined = doctor.examined(client)
    assert examined is None or {*examined.missing} == {*missed}


def is_immutable(owner: Any) -> bool:
    """Whether it is a class of C, which loses no attribute: whoever inherits that has it still."""
    immutable = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
    return isinstance(owner, type) and bool(owner.__flags__ & immutable)


# --- whatever it is given, or gives back --------------------------------------------------------


def like(target: Target, **kinds: Any) -> Any:
    """Of these functions, the one of a target's kind."""
    owner, name = found_at(target)
    original = inspect.getattr_static(owner, name)
    nature = inspect.unwrap(getattr(original, "__func__", original))
    if name == "__await__":
        return kinds["steps"]
    if inspect.iscoroutinefunction(nature):
        return kinds["coroutine"]
    if inspect.isasyncgenfunction(nature):
        return kinds["asynchronous_generator"]
    return kinds["generator" if inspect.isgeneratorfunction(nature) else "function"]


def standing(target: Target, what: Callable[[], Any]) -> Any:
    """A function in the place of a target's; it does `what`."""

    def function(*_args: Any, **_kwargs: Any) -> Any:
        return what()

    def generator(*_args: Any, **_kwargs: Any) -> Any:
        yield what()

    async def coroutine(*_args: Any, **_kwargs: Any) -> Any:
        return what()

    async def asynchronous_generator(*_args: Any, **_kwargs: Any) -> Any:
        yield what()

    def steps(*_args: Any, **_kwargs: Any) -> Any:
        return coroutine().__await__()

    return like(
        target,
        function=function,
        generator=generator,
        coroutine=coroutine,
        asynchronous_generator=asynchronous_generator,
        steps=steps,
    )


def refusing(target: Target) -> Any:
    """The same, that takes no arguments."""

    def function() -> None: ...

    def generator() -> Any:
        yield

    async def coroutine() -> None: ...

    async def asynchronous_generator() -> Any:
        yield

    return like(
        target,
        function=function,
        generator=generator,
        coroutine=coroutine,
        asynchronous_generator=asynchronous_generator,
        steps=function,
    )


async def nothing() -> None:
    """Does it."""


unawaited = nothing()
type_of_steps = type(unawaited.__await__())
"""What the `__await__` of a coroutine gives: neither that nor a generator."""
unawaited.close()


def run(made: Any) -> Any:
    """What a call comes to: awaited, or the one thing that it yields."""

    async def first() -> Any:
        (one,) = [each async for each in made]
        return one

    async def last() -> Any:
        return await going_on.Awaitable(made)

    if type(made) is Hostile:
        return made
    if type(made) is type_of_steps:
        return asyncio.run(last())
    if inspect.iscoroutine(made):
        return asyncio.run(made)
    if inspect.isasyncgen(made):
        return asyncio.run(first())
    return next(iter([*made])) if inspect.isgenerator(made) else made


@every_target
@pytest.mark.usefixtures("open_transaction")
def test_hostile_arguments_and_results_go_through(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    result = Hostile()
    function = standing(target, lambda: result)
    for args in ((), (Hostile(),), (Hostile(), Hostile(), Hostile())):
        for _ in range(4):
            assert run(target.wrapper(function, Hostile(), args, {})) is result
    noted(caplog)


@every_target
@pytest.mark.usefixtures("open_transaction")
def test_an_error_comes_out_as_it_went_in(target: Target) -> None:
    raised = LookupError("of the library's own")

    def fail() -> Any:
        raise raised

    function = standing(target, fail)
    with pytest.raises(LookupError) as caught:
        run(target.wrapper(function, Hostile(), (Hostile(), Hostile()), {}))
    assert caught.value is raised
    assert raised.__context__ is None
    assert own_files(raised) == []


def own_files(error: BaseException) -> list[str]:
    """Our files in a traceback."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return [file for file in files if file.startswith(callsite._OWN)]


@every_target
@pytest.mark.usefixtures("open_transaction")
def test_arguments_that_it_does_not_take_are_refused_as_without_us(target: Target) -> None:
    refused = refusing(target)
    with pytest.raises(TypeError, match="takes 0 positional arguments") as caught:
        target.wrapper(refused, Hostile(), (Hostile(), Hostile()), {})
    assert caught.value.__context__ is None
    assert own_files(caught.value) == []


@every_target
@pytest.mark.usefixtures("open_transaction")
def test_what_is_closed_before_it_starts_ends_without_a_word(target: Target) -> None:
    made = target.wrapper(standing(target, Hostile), Hostile(), (Hostile(), Hostile()), {})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        if type(made) in (CoroutineType, type_of_steps):
            made.close()
        del made
    assert not [each for each in warned if "never awaited" in str(each.message)]


# --- what all of them rest on -------------------------------------------------------------------


def _broken(*_: Any, **__: Any) -> Any:
    raise Broken("of txprof's own")


INTERNALS = [
    (context, "open_here"),
    (context, "undecided_here"),
    (context, "deciding"),
    (context, "judging_here"),
    (context, "call_path"),
    (callsite, "path"),
    (external, "minimum"),
    (transactions, "called"),
    (rules.external_io, "rule_of"),
    (rules.external_io, "finding_of"),
    (collector.Collector, "call"),
]


@pytest.mark.parametrize(
    ("place", "name"), INTERNALS, ids=lambda part: getattr(part, "__name__", part)
)
@pytest.mark.parametrize("action", ["log", "raise"])
def test_what_breaks_inside_costs_the_program_nothing(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Any,
    name: str,
    action: str,
) -> None:
    result = object()

    def describe(*_: Any) -> Described:
        return Described("rpc", "billing")

    async def coroutine() -> object:
        return result

    class Stream:
        @placing_method
        def read(self) -> object:
            return result

    stream = Stream()
    call = watched(describe, lambda _: (stream,))
    call_async = watched_coroutine(describe)
    with contextlib.ExitStack() as stack:
        stack.enter_context(txprof.profile(on_finding=action, locks="inspect"))
        connection = stack.enter_context(engine.connect())
        connection.execute(text("SELECT 1"))
        patch = stack.enter_context(monkeypatch.context())
        patch.setattr(place, name, _broken)
        with contextlib.suppress(txprof.TransactionHygieneError, txprof.TransactionHygieneWarning):
            assert call(lambda: result, None, (), {}) is result
            assert stream.read() is result
            assert run(call_async(coroutine, None, (), {})) is result
    noted_or_told = [record.levelname for record in caplog.records if record.name == "txprof"]
    assert "ERROR" not in noted_or_told


def placing_method(function: Any) -> Any:
    """A method that a call goes on in."""
    return placing.Sensor(function, going_on.goes_on(), object, inherited=False)


# --- a part that fails again and again ----------------------------------------------------------


def asked_of(answers: list[bool]) -> tuple[list[int], list[tuple[str, str, int]]]:
    """How often a description is asked, that fails where `answers` says so; what is seen."""
    asked: list[int] = []

    def describe(*_: Any) -> Described:
        asked.append(len(asked))
        if not answers[len(asked) - 1]:
            raise Broken
        return Described("rpc", "billing")

    call = watched(describe)
    with txprof.profile() as prof:
        for _ in answers:
            assert call(lambda: "result", None, (), {}) == "result"
    return asked, calls_seen(prof)


def test_a_description_that_always_fails_is_asked_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, seen = asked_of([False] * 10)
    assert (len(asked), seen) == (3, [])
    assert len(noted(caplog)) == 1


def test_one_that_failed_once_is_asked_again() -> None:
    asked, seen = asked_of([True, False, False, True, False, False, True])
    assert (len(asked), seen) == (7, [("rpc", "billing", 3)])


def test_what_is_noted_says_where_and_not_what(caplog: pytest.LogCaptureFixture) -> None:
    def describe(_: Any, args: tuple[Any, ...], __: Any) -> Described:
        raise ValueError(f"no such port: {args[0]}")

    with txprof.profile():
        assert watched(describe)(lambda password: password, None, ("hunter2",), {}) == "hunter2"
    (record,) = [record for record in caplog.records if record.name == "txprof"]
    assert "ValueError at " in record.getMessage()
    assert f"{__file__}:" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert record.exc_info is None


# --- out again, under the wraps of others -------------------------------------------------------


@every_client
def test_under_the_wraps_of_others_it_sleeps_once_it_is_uninstalled(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = Hostile()
    places = {target: found_at(target) for target in here(client)}
    originals = {target: vars(owner).get(name) for target, (owner, name) in places.items()}
    in_place = {target: standing(target, lambda: result) for target in places}
    asleep = {}
    with txprof.profile(on_finding="raise") as prof, engine.begin() as connection:
        for target, (owner, name) in places.items():
            asleep[target] = inspect.getattr_static(owner, name)
            assert type(asleep[target]) is placing.Sensor
            monkeypatch.setattr(owner, name, wrapped_by_others(asleep[target]))
        txprof.uninstall()
        connection.execute(text("SELECT 1"))
        for target, (owner, name) in places.items():
            with monkeypatch.context() as patch:
                patch.setattr(asleep[target], "__wrapped__", in_place[target])
                theirs = inspect.getattr_static(owner, name)
                assert run(theirs(*(Hostile(),) * 3)) is result
    assert calls_seen(prof) == []
    monkeypatch.undo()
    txprof.uninstall()
    assert [vars(owner).get(name) is originals[one] for one, (owner, name) in places.items()] == [
        True
    ] * len(places)


def wrapped_by_others(ours: Any) -> Any:
    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    return theirs


def test_every_client_is_tried_here() -> None:
    tried = {f"{target.module}:{target.attribute}" for target in TARGETS}
    for client in sensors.clients():
        assert {f"{target.module}:{target.attribute}" for target in client.targets} <= tried
