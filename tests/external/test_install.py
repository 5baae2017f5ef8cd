"""Sensors go in once, come out without a trace, and leave functions what they were."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import requests
from helpers import ApiServer, calls_seen
from targets import Places, install, installed_targets

import txprof

pytestmark = pytest.mark.usefixtures("taken_out")


def test_uninstalling_gives_back_the_very_originals() -> None:
    places = Places(installed_targets())
    for _ in range(2):
        install()
        assert [name for name, changed in places.changed().items() if not changed] == []
        txprof.uninstall()
        assert [name for name, changed in places.changed().items() if changed] == []


def test_uninstalling_twice_is_uninstalling_once() -> None:
    original = vars(requests.Session)["send"]
    install()
    txprof.uninstall()
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_a_second_profile_wraps_nothing_again() -> None:
    install()
    places = Places(installed_targets())
    install()
    assert [name for name, changed in places.changed().items() if changed] == []


def test_watching_what_a_sensor_wraps_wraps_it_once(api: ApiServer) -> None:
    original = vars(requests.Session)["send"]
    with txprof.watch("requests.sessions:Session.send", kind="rpc"), txprof.profile() as prof:
        requests.get(api.url(), timeout=5)
    assert [count for _, _, count in calls_seen(prof)] == [1]
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_a_method_that_was_inherited_is_inherited_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Child(requests.Session):
        pass

    monkeypatch.setattr(requests.sessions, "Session", Child)
    monkeypatch.setattr(requests.sessions, "Parent", requests.Session, raising=False)
    install()
    assert "send" in vars(Child)
    txprof.uninstall()
    assert "send" not in vars(Child)


# --- what a wrapped function is -----------------------------------------------------------------


def test_a_wrapped_method_looks_like_the_method() -> None:
    def looks() -> list[Any]:
        send, asend = requests.Session.send, httpx.AsyncClient.send
        return [
            inspect.signature(send),
            inspect.isfunction(send),
            inspect.ismethod(requests.Session().send),
            inspect.iscoroutinefunction(asend),
            (send.__name__, send.__qualname__, send.__module__, send.__doc__),
            inspect.getsource(send),
        ]

    without = looks()
    install()
    assert vars(requests.Session)["send"] is not vars(requests.Session)["send"].__wrapped__
    assert looks() == without


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_a_wrapped_method_copies_and_pickles(copied: Callable[[Any], Any]) -> None:
    install()
    assert copied(requests.Session.send) == requests.Session.send
    session = requests.Session()
    session.headers["X-Name"] = "a"
    assert copied(session.send).__self__.headers["X-Name"] == "a"
    assert copied(vars(requests.Session)["send"]) == requests.Session.send


def test_a_coroutine_of_a_call_nobody_watches_is_the_librarys_own() -> None:
    client = httpx.AsyncClient(verify=False)
    install()
    coroutine = client.send(client.build_request("GET", "http://127.0.0.1:1/"))
    coroutine.close()
    assert coroutine.cr_code is httpx.AsyncClient.send.__code__
