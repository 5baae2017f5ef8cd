"""What to profile, by name: given as text, or found because it opened something."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, text

import txprof
from txprof import lines, runs

APP = {
    "jobs.py": """
        import functools
        from json import dumps

        def process(number):
            return number + 1

        @functools.cache
        def cached(number):
            return number

        class Researcher:
            kind = dumps

            def exec(self):
                return 1

            @classmethod
            def make(cls):
                return cls()

            class Inner:
                def deep(self):
                    return 2
    """,
    "late.py": """
        def arrived():
            return 3
    """,
    "__init__.py": "",
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that is not imported yet."""
    package = f"app_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / package
    folder.mkdir()
    for name, source in APP.items():
        lines = source.strip("\n").splitlines()
        (folder / name).write_text("\n".join(line[8:] for line in lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]


def profiled(profile: txprof.Profile) -> set[str]:
    return {function.site.function for function in profile.functions}


def test_a_name_leads_to_its_function(app: str) -> None:
    jobs = importlib.import_module(f"{app}.jobs")
    with txprof.profile(f"{app}.jobs:process") as prof:
        assert jobs.process(1) == 2
    assert prof.name == f"{app}.jobs:process"
    (function,) = prof.functions
    assert (function.site.function, function.calls) == ("process", 1)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("process", {"process"}),
        ("cached", {"cached"}),
        ("Researcher", {"Researcher.exec", "Researcher.make"}),
        ("Researcher.make", {"Researcher.make"}),
        ("Researcher.*", {"Researcher.exec", "Researcher.make", "Researcher.Inner.deep"}),
        ("*ed", {"cached"}),
        (
            "*",
            {
                "process",
                "cached",
                "Researcher.exec",
                "Researcher.make",
                "Researcher.Inner.deep",
            },
        ),
    ],
)
def test_a_pattern_names_what_the_module_itself_defines(
    app: str, pattern: str, expected: set[str]
) -> None:
    importlib.import_module(f"{app}.jobs")
    with txprof.profile(f"{app}.jobs:{pattern}") as prof:
        pass
    assert profiled(prof) == expected


def test_the_module_may_be_a_pattern(app: str) -> None:
    importlib.import_module(f"{app}.jobs")
    importlib.import_module(f"{app}.late")
    with txprof.profile(f"{app}.*:[ap]r*") as prof:
        pass
    assert profiled(prof) == {"process", "arrived"}


@pytest.mark.parametrize("module", ["late", "l*"])
def test_what_a_module_defines_that_is_imported_later_is_found_then(app: str, module: str) -> None:
    before = list(sys.meta_path)
    with txprof.profile(f"{app}.{module}:arrived") as prof:
        late = importlib.import_module(f"{app}.late")
        assert late.arrived() == 3
    (function,) = prof.functions
    assert function.calls == 1
    assert [finder for finder in sys.meta_path if finder not in before] == []


def test_names_and_functions_go_together(app: str) -> None:
    jobs = importlib.import_module(f"{app}.jobs")
    with txprof.profile(jobs.process, f"{app}.jobs:cached") as prof:
        jobs.process(1)
    assert profiled(prof) == {"process", "cached"}


def test_nothing_is_timed_after_the_block(app: str) -> None:
    with txprof.profile(f"{app}.late:arrived") as prof:
        pass
    late = importlib.import_module(f"{app}.late")
    assert late.arrived() == 3
    assert prof.functions == []


def test_what_stands_in_for_a_module_is_not_asked_for_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Lazy:
        @property
        def __class__(self) -> Any:
            asked.append("class")  # a lazy import would take place here
            return ModuleType

    monkeypatch.setitem(sys.modules, "lazy", Lazy())
    with txprof.profile():
        pass
    assert asked == []


def test_a_misspelt_name_is_an_error_that_knows_better(app: str) -> None:
    importlib.import_module(f"{app}.jobs")
    with (
        pytest.raises(ValueError, match=r"has no 'proces' \(did you mean 'process'\?\)"),
        txprof.profile(f"{app}.jobs:proces"),
    ):
        pass


def test_a_name_that_leads_to_no_python_function_is_an_error() -> None:
    with pytest.raises(TypeError, match="cannot profile"), txprof.profile("itertools:chain"):
        pass


def test_a_pattern_that_matched_nothing_is_said(app: str, caplog: pytest.LogCaptureFixture) -> None:
    with txprof.profile(f"{app}.nowhere:*", f"{app}.late:*"):
        importlib.import_module(f"{app}.late")
    assert f"profile('{app}.nowhere:*') matched no function" in caplog.text
    assert "late" not in caplog.text


def test_a_name_does_not_decorate(app: str) -> None:
    with pytest.raises(TypeError, match="profiles a `with` block"):
        txprof.profile(f"{app}.jobs:process")(lambda: 1)  # type: ignore[operator]


# lines="auto"

only_monitoring = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="lines='auto' needs sys.monitoring"
)


def opens(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT 1")).scalar_one())


def calls_it(engine: Engine) -> int:
    return opens(engine)


def opens_nothing() -> int:
    return 1


@only_monitoring
def test_functions_that_open_a_hold_are_profiled_from_their_next_call_on(engine: Engine) -> None:
    with txprof.profile(lines="auto") as prof:
        for _ in range(3):
            assert calls_it(engine) == opens_nothing()
    by_name = {function.site.function: function.calls for function in prof.functions}
    assert by_name == {"opens": 2, "calls_it": 2}


@only_monitoring
def test_auto_adds_to_what_was_named(engine: Engine) -> None:
    with txprof.profile(opens_nothing, lines="auto") as prof:
        opens(engine)
        opens(engine)
    assert profiled(prof) == {"opens", "opens_nothing"}


@only_monitoring
def test_a_profile_without_auto_beside_one_with_it_finds_nothing(engine: Engine) -> None:
    with txprof.profile() as without, txprof.profile(lines="auto") as prof:
        opens(engine)
        opens(engine)
    assert profiled(prof) == {"opens"}
    assert profiled(without) == set()


@only_monitoring
def test_auto_follows_a_decorated_function_only(engine: Engine) -> None:
    @txprof.profile(lines="auto", report=None)
    def job() -> None:
        opens(engine)

    for _ in range(2):
        job()
        calls_it(engine)
    profile = job.__txprof__  # type: ignore[attr-defined]
    assert {function.site.function.rpartition(".")[2] for function in profile.functions} == {
        "job",
        "opens",
    }


@only_monitoring
def test_auto_lets_go_of_what_it_found(engine: Engine) -> None:
    monitoring = sys.monitoring

    def wanted() -> list[int]:
        """The events of the function that our tools ask for."""
        ours = [tool for tool in range(6) if monitoring.get_tool(tool) == "txprof"]
        return [monitoring.get_local_events(tool, opens.__code__) for tool in ours]

    with txprof.profile(lines="auto"):
        opens(engine)
        assert any(wanted())
    assert not any(wanted())


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer Pythons have it")
def test_where_auto_is_not_available_it_says_so(
    engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from txprof.lines import openers

    monkeypatch.setattr(openers, "_watching", False)
    with txprof.profile(lines="auto") as prof:
        opens(engine)
    assert prof.functions == []
    assert "needs CPython 3.12 or newer" in caplog.text


# Decorated anew at each call


def decorated_anew() -> int:
    @txprof.profile
    def inner(depth: int) -> int:
        return depth + 1

    return inner(2)


def decorated_anew_and_recursive() -> int:
    @txprof.profile
    def inner(depth: int) -> int:
        return 1 if depth == 0 else inner(depth - 1)

    return inner(2)


@pytest.mark.parametrize(
    ("outer", "calls"),
    [
        (decorated_anew, 20),
        pytest.param(
            decorated_anew_and_recursive,
            60,
            # There a prologue stands in for its code, and what a code refers to is not collected.
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12), reason="3.11 keeps a function that refers to itself"
            ),
        ),
    ],
)
def test_a_function_decorated_anew_at_each_call_leaves_nothing_behind(
    outer: Callable[[], int], calls: int
) -> None:
    name = f"{outer.__qualname__}.<locals>.inner"
    for _ in range(20):
        outer()
    gc.collect()
    runs._end_what_is_over()
    timer: Any = lines.timer()
    assert [timed for timed in timer._tables.timed.values() if timed.code.co_qualname == name] == []
    (profile,) = runs._at_exit.pop(("inner", (__name__, name)))
    assert profile.recorded.calls == 20
    (function,) = profile.functions
    assert function.calls == calls


def test_decorations_that_live_have_profiles_of_their_own() -> None:
    def decorated() -> object:
        @txprof.profile(report=None)
        def inner() -> int:
            return 1

        return inner

    one, two = decorated(), decorated()
    one()  # type: ignore[operator]
    two()  # type: ignore[operator]
    two()  # type: ignore[operator]
    assert one.__txprof__.functions[0].calls == 1  # type: ignore[attr-defined]
    assert two.__txprof__.functions[0].calls == 2  # type: ignore[attr-defined]
