"""Other tools wrap what sensors wrap: whoever comes first, and whoever goes first."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import watched
import wrapt
from helpers import ApiServer, calls_seen
from targets import install

import txprof

pytestmark = pytest.mark.usefixtures("taken_out")


class Apm:
    """Another tool that wraps `Session.send`, with or without saying what it wraps."""

    def __init__(self, patch: pytest.MonkeyPatch, *, says_so: bool) -> None:
        self.seen: list[str] = []
        self._patch = patch
        self._says_so = says_so

    def wrap(self) -> None:
        beneath = requests.Session.send

        def send(session: Any, request: Any, **options: Any) -> Any:
            self.seen.append(request.method)
            return beneath(session, request, **options)

        if self._says_so:
            functools.update_wrapper(send, beneath)
        self._patch.setattr(requests.Session, "send", send)

    def unwrap(self) -> None:
        self._patch.undo()


@pytest.fixture(params=[True, False], ids=["says so", "says nothing"])
def apm(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Apm:
    return Apm(monkeypatch, says_so=request.param)


def assert_seen_once(api: ApiServer, apm: Apm, *, by_apm: int) -> None:
    apm.seen.clear()
    with txprof.profile() as prof:
        assert requests.get(api.url("/redirect"), timeout=5).text == "ok"
    assert calls_seen(prof) == [("http", f"GET {api.url('/redirect')}", 1)]
    assert apm.seen == ["GET"] * by_apm


def test_a_wrap_that_says_it_wraps_ours_is_not_wrapped_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install()
    Apm(monkeypatch, says_so=True).wrap()
    theirs = vars(requests.Session)["send"]
    install()
    assert vars(requests.Session)["send"] is theirs


def test_wrapping_over_ours_and_taking_it_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    install()
    apm.wrap()
    assert_seen_once(api, apm, by_apm=2)  # once for each hop
    apm.unwrap()
    assert_seen_once(api, apm, by_apm=0)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_uninstalling_again_takes_out_what_the_wrap_of_another_kept_in(apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    install()
    apm.wrap()
    txprof.uninstall()
    apm.unwrap()
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_wrapping_over_ours_and_taking_ours_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    install()
    apm.wrap()
    txprof.uninstall()
    assert requests.get(api.url(), timeout=5).text == "ok"
    assert apm.seen == ["GET"]
    assert_seen_once(api, apm, by_apm=2)
    apm.unwrap()
    assert_seen_once(api, apm, by_apm=0)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


def test_ours_over_another_wrap_and_taking_ours_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    apm.wrap()
    theirs = vars(requests.Session)["send"]
    assert_seen_once(api, apm, by_apm=2)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is theirs
    apm.unwrap()
    assert vars(requests.Session)["send"] is original


def test_ours_over_another_wrap_and_taking_that_off_first(api: ApiServer, apm: Apm) -> None:
    original = vars(requests.Session)["send"]
    apm.wrap()
    install()
    apm.unwrap()
    assert_seen_once(api, apm, by_apm=0)
    txprof.uninstall()
    assert vars(requests.Session)["send"] is original


@pytest.fixture
def by_wrapt() -> Iterator[list[str]]:
    """What a tool that wraps `Session.send` by wrapt, as we do, saw; it has come before us."""
    seen: list[str] = []

    def see(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(args[0].method)
        return wrapped(*args, **kwargs)

    original = vars(requests.Session)["send"]
    wrapt.wrap_function_wrapper(requests.Session, "send", see)
    yield seen
    requests.Session.send = original  # type: ignore[method-assign]


def unwrap_by_wrapt() -> None:
    """As such tools do: whatever is on top is taken for theirs."""
    requests.Session.send = requests.Session.send.__wrapped__  # type: ignore


def test_a_tool_that_unwraps_by_wrapt_takes_off_its_own_and_leaves_ours(
    api: ApiServer, by_wrapt: list[str]
) -> None:
    with txprof.profile() as prof:
        requests.get(api.url("/both"), timeout=5)
        unwrap_by_wrapt()
        requests.get(api.url("/ours"), timeout=5)
    assert by_wrapt == ["GET"]
    assert calls_seen(prof) == [
        ("http", f"GET {api.url('/both')}", 1),
        ("http", f"GET {api.url('/ours')}", 1),
    ]


def test_ours_comes_off_from_beneath_a_wrap_by_wrapt(api: ApiServer, by_wrapt: list[str]) -> None:
    theirs = vars(requests.Session)["send"]
    original = theirs.__wrapped__
    install()
    assert vars(requests.Session)["send"] is theirs
    assert theirs.__wrapped__ is not original
    txprof.uninstall()
    assert vars(requests.Session)["send"] is theirs
    assert theirs.__wrapped__ is original
    assert requests.get(api.url(), timeout=5).text == "ok"
    assert by_wrapt == ["GET"]


def test_ours_comes_off_from_beneath_one_that_came_later() -> None:
    original = vars(requests.Session)["send"]
    install()
    theirs = wrapt.FunctionWrapper(vars(requests.Session)["send"], lambda w, _i, a, k: w(*a, **k))
    requests.Session.send = theirs  # type: ignore[method-assign]
    txprof.uninstall()
    assert vars(requests.Session)["send"] is theirs
    assert theirs.__wrapped__ is original
    requests.Session.send = original  # type: ignore[method-assign]


def test_what_is_watched_is_watched_with_its_own_decorators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @wrapt.decorator
    def twice(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        wrapped(*args, **kwargs)
        return wrapped(*args, **kwargs)

    monkeypatch.setattr(watched, "charge", twice(watched.charge))
    with txprof.watch("watched:charge", kind="rpc"), txprof.profile() as prof:
        assert watched.charge(1) == 2
    assert calls_seen(prof) == [("rpc", "watched.charge", 1)]
