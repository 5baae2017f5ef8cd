"""Whatever breaks inside a sensor, the program goes on as it does without txprof: every target.

Each target of every client is broken on purpose: its attribute gone, its arguments, its result and
its object hostile. A new row is tried here without being named.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from types import CoroutineType
from typing import Any

import pytest
from breaking import TYPE_OF_STEPS, Hostile, found_at, noted, refusing, run, standing
from helpers import calls_seen
from sqlalchemy import Connection, Engine, create_engine, text

import txprof
from txprof import callsite, doctor, sensors
from txprof.sensors import external, placing
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
def tried_again(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Everything is logged; what failed in one test is tried again in the next."""
    caplog.set_level(logging.DEBUG, logger="txprof")
    yield
    external.descriptions.reset()


@pytest.fixture(scope="module", autouse=True)
def none_left() -> Iterator[None]:
    """No sensor is left in."""
    txprof.uninstall()
    yield
    txprof.uninstall()


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
        if type(made) in (CoroutineType, TYPE_OF_STEPS):
            made.close()
        del made
    assert not [each for each in warned if "never awaited" in str(each.message)]


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
