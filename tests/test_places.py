"""The same call path is the same place, a different one is another."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from typing import Any

import greenlet
import pytest

from txprof import callsite, compiled, places
from txprof.places import Place, Start


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    places.forget()
    yield
    places.forget()


def library(source: str, name: str = "library") -> dict[str, Any]:
    """What code defines that lies in the standard library's folder."""
    namespace: dict[str, Any] = {}
    file = os.path.join(sysconfig.get_path("stdlib"), f"{name}.py")
    exec(compile(source, file, "exec"), namespace)
    return namespace


SENSOR = library(
    """
def wrap(here, start):
    return inside(here, start)

def inside(here, start):
    return here(start)

def wrap_both(*how):
    return inside_both(*how)

def inside_both(here, start, walk, frame):
    return here(start), walk(frame())

def through(depth, function, *arguments):
    if depth:
        return through(depth - 1, function, *arguments)
    return function(*arguments)

def between(function, *arguments):
    return again(function, *arguments)

def again(function, *arguments):
    return function(*arguments)
"""
)
through, between = SENSOR["through"], SENSOR["between"]


def sent(start: Start) -> Place:
    """A statement is sent from here."""
    place: Place = SENSOR["wrap"](places.here, start)
    return place


def names(place: Place) -> list[str]:
    """The functions of this file on its path, innermost first."""
    return [function for file, _, function in place.path if file == __file__]


def test_the_same_path_is_the_same_place_and_another_line_another() -> None:
    start = Start()
    first, again = [sent(start) for _ in range(2)]
    other = sent(start)
    assert first is again
    assert other is not first
    assert names(first)[:1] == ["sent"]


def test_two_statements_of_one_path_have_one_place() -> None:
    assert len({sent(start) for start in (Start(), Start())}) == 1


def test_a_place_tells_its_path_as_a_walk_does() -> None:
    start = Start()
    for _ in range(3):
        place, path = SENSOR["wrap_both"](places.here, start, callsite.path, sys._getframe)
        assert place.path == place.asking == path
        assert [code.co_qualname for code in place.codes] == [name for _, _, name in path]


@pytest.mark.parametrize("depth", [0, 1, 2, 5, 30])
def test_libraries_between_are_passed(depth: int) -> None:
    start = Start()
    # One line, so that nothing but the depth differs.
    found = [through(depth if number else 3, sent, start) for number in range(4)]
    assert found[1] is found[2] is found[3]
    assert found[0] is found[1], "the libraries on the way are no part of the path"


def called_directly(start: Start) -> Place:
    return sent(start)


def test_who_calls_further_out_is_part_of_the_path() -> None:
    start = Start()

    def one() -> Place:
        return called_directly(start)

    def other() -> Place:
        return called_directly(start)

    found = [function() for _ in range(3) for function in (one, other)]
    assert len(set(found)) == 2
    assert found[0::2] == [found[0]] * 3
    assert found[1::2] == [found[1]] * 3


def test_an_application_frame_in_the_place_of_a_library_frame_is_seen() -> None:
    start = Start()

    def relayed(function: Callable[[Start], Place], start: Start) -> Place:
        return function(start)

    def run(relay: Callable[..., Place]) -> Place:
        return through(2, relay, sent, start)  # type: ignore[no-any-return]

    # As many frames, from the same line through the same library: the innermost differs.
    of_library = SENSOR["again"]
    found = [run(relay) for _ in range(2) for relay in (of_library, relayed)]
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert names(found[1])[1].endswith("relayed")
    assert found[0] is not found[1]


def test_a_thread_that_is_given_a_function_and_one_that_has_its_own_run_differ() -> None:
    start = Start()
    found: list[Place] = []

    def work() -> None:
        found.append(sent(start))

    class Worker(threading.Thread):
        def run(self) -> None:
            work()

    for _ in range(2):
        for thread in (threading.Thread(target=work), Worker()):
            thread.start()
            thread.join(60)
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert [name.rpartition(".")[2] for name in names(found[0])] == ["sent", "work"]
    assert [name.rpartition(".")[2] for name in names(found[1])] == ["sent", "work", "run"]


def test_recursion_of_another_depth_is_another_place() -> None:
    start = Start()

    def recurse(depth: int) -> Place:
        return recurse(depth - 1) if depth else sent(start)

    found = [recurse(depth) for depth in (3, 4, 3, 90, 4, 90, 3)]
    assert found[0] is found[2] is found[6]
    assert found[1] is found[4]
    assert found[3] is found[5]
    assert len(set(found)) == 3


def test_a_stack_that_is_less_deep_than_the_last_is_walked() -> None:
    start = Start()
    deep = through(60, sent, start)
    found: list[Place] = []
    thread = threading.Thread(target=lambda: found.append(sent(start)))
    thread.start()
    thread.join(60)
    assert found[0] is not deep
    assert names(found[0])[0] == "sent"


def test_a_greenlet_goes_on_where_its_parent_stands() -> None:
    start = Start()

    def one() -> Place:
        return greenlet.greenlet(sent).switch(start)  # type: ignore[no-any-return]

    def other() -> Place:
        return greenlet.greenlet(sent).switch(start)  # type: ignore[no-any-return]

    found = [function() for _ in range(2) for function in (one, other)]
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert [name.rpartition(".")[2] for name in names(found[0])[:2]] == ["sent", "one"]
    assert [name.rpartition(".")[2] for name in names(found[1])[:2]] == ["sent", "other"]


def test_a_task_of_a_library_goes_on_with_the_tasks_that_wait_for_it() -> None:
    start = Start()
    source = "async def work(wrap, here, start):\n    return wrap(here, start)\n"
    work = library(source)["work"]

    async def one() -> Any:
        return await asyncio.create_task(work(SENSOR["wrap"], places.here, start))

    async def other() -> Any:
        return await asyncio.create_task(work(SENSOR["wrap"], places.here, start))

    async def main() -> list[Place]:
        return [await function() for _ in range(2) for function in (one, other)]

    found = asyncio.run(main())
    assert found[0] is found[2]
    assert found[1] is found[3]
    assert [names(place)[0].rpartition(".")[2] for place in found[:2]] == ["one", "other"]


def test_what_counts_as_the_applications_is_asked_again_when_that_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callsite, "_application_packages", set())
    monkeypatch.setattr(callsite, "known", {})
    start = Start()
    lent = library("def lend(function, start):\n    return function(start)\n", "lending")["lend"]

    def run() -> Place:
        return lent(sent, start)  # type: ignore[no-any-return]

    before = run()
    callsite.include([os.path.join(sysconfig.get_path("stdlib"), "lending.py")])
    after = run()
    assert [function for _, _, function in before.path][1] != "lend"
    assert [function for _, _, function in after.path][1] == "lend"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_MOST", 200)
    start = Start()
    for number in range(300):
        namespace: dict[str, Any] = {"sent": sent}
        source = f"def made_{number}(start):\n    return sent(start)\n"
        exec(compile(source, __file__, "exec"), namespace)
        place = namespace[f"made_{number}"](start)
        assert names(place)[1] == f"made_{number}"
    assert places._remembered <= 200
    assert len(places._places) <= 200


def test_code_that_is_gone_is_not_taken_for_code_that_came_to_lie_there() -> None:
    start = Start()
    seen = set()
    for number in range(50):
        namespace: dict[str, Any] = {"sent": sent}
        exec(
            compile(f"def f(start):\n{chr(10) * number}    return sent(start)\n", __file__, "exec"),
            namespace,
        )
        place = namespace["f"](start)
        seen.add(place.path[1][1])
        del namespace
    assert len(seen) == 50


def test_threads_find_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_MOST", 50)  # forgotten all the time
    start = Start()
    wrong: list[str] = []
    sources = {
        name: library(f"def {name}(function, start):\n    return function(start)\n", name)[name]
        for name in ("red", "green", "blue")
    }

    def work(name: str) -> None:
        namespace: dict[str, Any] = {"sent": sent, "lent": sources[name], "start": start}
        source = f"def {name}():\n    return lent(sent, start)\n"
        exec(compile(source, __file__, "exec"), namespace)
        for _ in range(300):
            place = namespace[name]()
            if names(place)[1] != name:
                wrong.append(f"{name}: {names(place)}")

    threads = [threading.Thread(target=work, args=(name,)) for name in sources for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_line_that_calls_several_libraries_by_turns_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = (library(f"def {name}(f, *a): return f(*a)\n")[name] for name in ("one", "other"))
    starts = {one: Start(), other: Start()}

    def ask(function: Callable[..., Place]) -> Place:
        return function(SENSOR["wrap"], places.here, starts[function])

    def again(*_: Any) -> Place:
        raise AssertionError("walked")

    found = []
    for turn in range(3):
        if turn:
            monkeypatch.setattr(places, "_walked", again)
        found += [ask(function) for function in (one, other)]
    assert found == found[:1] * 6


# --- compiled and in plain Python ---------------------------------------------------------------


def walks(frame: Any) -> Any:
    """What both walk from each frame of a stack."""
    found = []
    while frame is not None:
        root = None
        for outer in callsite.stack(frame.f_back):
            if not callsite.is_application(outer.f_code.co_filename):
                root = outer
                break
        for each in (None, root):
            passed = compiled.fast.passed(frame, callsite.known, callsite.is_application, each)  # type: ignore[union-attr]
            assert passed == places.passed_in_python(frame, each)
            found.append(passed)
        frames = callsite.application_frames(frame)
        assert frames == callsite._application_frames(frame, None)
        assert callsite.numbers(frame) == tuple(
            number for each in frames for number in (id(each.f_code), each.f_lasti)
        )
        frame = frame.f_back
    return found


@pytest.mark.skipif(compiled.fast is None, reason=compiled.why_not)
def test_both_walk_the_same_from_any_frame() -> None:
    found = through(3, lambda: between(lambda: through(0, walks, sys._getframe())))
    inside = through(3, lambda: between(lambda: walks(sys._getframe())))
    assert None in found
    assert {passed[0] for passed in inside if passed} >= {0, 2, 4}  # frames of libraries


@pytest.mark.skipif(compiled.fast is None, reason=compiled.why_not)
def test_what_was_walked_is_given_back() -> None:
    frame = sys._getframe()
    told = (frame, callsite.known, callsite.is_application, None)
    watched = [frame, frame.f_code, frame.f_back, frame.f_back.f_code, callsite.is_application]  # type: ignore[union-attr]

    def counts() -> list[int]:
        return [sys.getrefcount(each) for each in watched]

    def walk(times: int) -> None:
        for _ in range(times):
            compiled.fast.passed(*told)  # type: ignore[union-attr]
            compiled.fast.application(*told, iter(()))  # type: ignore[union-attr]
            compiled.fast.numbers(*told, iter(()))  # type: ignore[union-attr]

    walk(3)
    before = counts()
    walk(1_000)
    assert max(now - then for now, then in zip(counts(), before, strict=True)) < 10


@pytest.mark.skipif(compiled.fast is None, reason=compiled.why_not)
@pytest.mark.parametrize("name", ["passed", "application", "numbers"])
def test_what_is_no_frame_is_an_error_and_so_is_one_of_who_is_asked(name: str) -> None:
    function = getattr(compiled.fast, name)
    rest = () if name == "passed" else (iter(()),)

    def ask(file: str) -> bool:
        raise LookupError(file)

    with pytest.raises(TypeError, match="a frame"):
        function(None, {}, ask, None, *rest)
    with pytest.raises(LookupError):
        function(sys._getframe(), {}, ask, None, *rest)
