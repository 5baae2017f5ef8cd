"""The public API: profile as decorator and block, allow, external_call, on_finding."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import threading

import pytest
from helpers import assert_flagged, call, calls_seen, in_transaction, line_of
from sqlalchemy import Engine, text

import txprof

# Decorators


def test_a_bare_decorator_profiles_each_call(engine: Engine) -> None:
    @txprof.profile
    def work(number: int) -> int:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            call()  # call
        return number * 2

    assert [work(1), work(2)] == [2, 4]
    prof = work.__txprof__  # type: ignore[attr-defined]
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=2)
    (function,) = prof.functions
    assert function.calls == 2
    assert function.lines[line_of("call")].hits == 2


def test_a_decorator_takes_options(engine: Engine) -> None:
    @txprof.profile(on_finding="raise", report=None, name="worker")
    def work() -> None:
        in_transaction(engine)

    with (
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError),
    ):
        work()
    assert work.__txprof__.name == "worker"  # type: ignore[attr-defined]


def test_a_decorated_function_watches_only_its_own_context() -> None:
    @txprof.profile(report=None)
    def work() -> None:
        pass

    call()
    work()
    assert calls_seen(work.__txprof__) == []  # type: ignore[attr-defined]


class Worker:
    factor = 3

    @txprof.profile(report=None)
    def method(self, number: int) -> int:
        return number * self.factor

    @txprof.profile(report=None)
    @classmethod
    def over_classmethod(cls, number: int) -> int:
        return number * cls.factor

    @classmethod
    @txprof.profile(report=None)
    def under_classmethod(cls, number: int) -> int:
        return number * cls.factor

    @txprof.profile(report=None)
    @staticmethod
    def over_staticmethod(number: int) -> int:
        return number * 3

    @staticmethod
    @txprof.profile(report=None)
    def under_staticmethod(number: int) -> int:
        return number * 3


@pytest.mark.parametrize(
    "name",
    [
        "method",
        "over_classmethod",
        "under_classmethod",
        "over_staticmethod",
        "under_staticmethod",
    ],
)
def test_methods_are_profiled_and_bind_as_before(name: str) -> None:
    profile = getattr(Worker, name).__txprof__
    before = profile.functions[0].calls
    assert getattr(Worker(), name)(2) == 6
    assert profile.functions[0].calls == before + 1


def test_a_decorated_class_profiles_every_method() -> None:
    @txprof.profile(report=None)
    class Service:
        def __init__(self, value: int) -> None:
            self.value = value

        def double(self) -> int:
            return self.value * 2

        @classmethod
        def make(cls) -> Service:
            return cls(4)

        @staticmethod
        def helper() -> str:
            return "helped"

        @property
        def half(self) -> float:
            return self.value / 2

    service = Service.make()
    assert (service.double(), service.helper(), service.half) == (8, "helped", 2.0)
    profile = Service.make.__txprof__  # type: ignore[attr-defined]
    calls = {f.site.function.rpartition(".")[2]: f.calls for f in profile.functions}
    assert calls == {"__init__": 1, "double": 1, "make": 1, "helper": 1, "half": 0}
    assert isinstance(service, Service)
    assert profile.name == "Service"


def test_recursion_is_one_profiled_call() -> None:
    @txprof.profile(report=None)
    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    assert factorial(5) == 120
    profile = factorial.__txprof__  # type: ignore[attr-defined]
    assert profile.recorded.calls == 1
    assert profile.functions[0].calls == 5


# Blocks


def test_a_block_profiles_functions_in_every_thread(engine: Engine) -> None:
    with txprof.profile(in_transaction, on_finding="ignore") as prof:
        thread = threading.Thread(target=in_transaction, args=(engine,))
        thread.start()
        thread.join()
        in_transaction(engine)
    assert prof.functions[0].calls == 2
    assert_flagged(prof, "io-in-transaction", count=2)


def test_a_block_of_the_context_sees_no_thread_but_those_it_starts(engine: Engine) -> None:
    go, done = threading.Event(), threading.Event()

    def other() -> None:
        go.wait(5)
        in_transaction(engine)
        done.set()

    started_before = threading.Thread(target=other)
    started_before.start()
    with txprof.profile(scope="context", on_finding="ignore") as prof:
        go.set()
        assert done.wait(5)
        assert calls_seen(prof) == []
        started_inside = threading.Thread(target=in_transaction, args=(engine,))
        started_inside.start()
        started_inside.join()
    started_before.join()
    assert_flagged(prof, "io-in-transaction", count=1)


def test_one_function_makes_a_block_too() -> None:
    with txprof.profile(call) as prof:
        call()
    assert [f.site.function for f in prof.functions] == ["call"]
    entered = txprof.profile(call)
    with contextlib.ExitStack() as stack:
        later = stack.enter_context(entered)  # type: ignore[arg-type]
        call()
    assert later.functions[0].calls == 1


def test_a_class_makes_a_block_too_and_stays_as_it_was() -> None:
    before = dict(vars(Worker))
    with txprof.profile(Worker) as prof:  # type: ignore[attr-defined]
        Worker().method(1)
    assert dict(vars(Worker)) == before
    assert {f.site.function for f in prof.functions if f.calls} == {"Worker.method"}


def test_a_method_given_to_a_block_is_timed_wherever_it_is_called() -> None:
    worker = Worker()
    with txprof.profile(worker.method, Worker.under_staticmethod) as prof:
        worker.method(1)
        Worker().method(1)
        Worker.under_staticmethod(1)
    calls = {f.site.function: f.calls for f in prof.functions}
    assert calls == {"Worker.method": 2, "Worker.under_staticmethod": 1}


def test_blocks_nest_and_each_sees_its_own() -> None:
    with txprof.profile(call) as outer:
        call("a")
        with txprof.profile(call) as inner:
            call("b")
    assert outer.functions[0].calls == 2
    assert inner.functions[0].calls == 1
    assert calls_seen(inner) == [("rpc", "b", 1)]


def test_a_profile_is_live_while_it_runs() -> None:
    with txprof.profile(call) as prof:
        call()
        assert prof.functions[0].calls == 1
        call()
    assert prof.functions[0].calls == 2
    call()
    assert prof.functions[0].calls == 2


def test_an_exception_leaves_the_block_unchanged_and_ends_the_profile() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught, txprof.profile() as prof:
        raise error
    assert caught.value is error
    call()
    assert calls_seen(prof) == []


def test_async_with_works_as_with() -> None:
    async def main() -> txprof.Profile:
        async with txprof.profile(call) as prof:  # type: ignore[attr-defined]
            call()
        return prof

    assert asyncio.run(main()).functions[0].calls == 1


# on_finding


def test_findings_are_logged_once_a_profile(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="txprof"), txprof.profile():
        in_transaction(engine)
        in_transaction(engine)
    (record,) = caplog.records
    assert "io-in-transaction" in record.message
    assert "helpers.py" in record.message
    assert "leave the `with engine.begin()` block" in record.message


def test_a_callable_gets_each_finding_and_may_raise(engine: Engine) -> None:
    seen: list[txprof.Finding] = []
    with txprof.profile(on_finding=seen.append):
        in_transaction(engine)
        in_transaction(engine)
    assert [finding.rule for finding in seen] == ["io-in-transaction"]

    def refuse(finding: txprof.Finding) -> None:
        raise LookupError(finding.rule)

    with pytest.raises(LookupError, match="io-in-transaction"), txprof.profile(on_finding=refuse):
        in_transaction(engine)


def test_raise_comes_before_the_call_and_every_time(engine: Engine) -> None:
    reached = []

    def work() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            with txprof.external_call("rpc", "billing"):
                reached.append(1)

    with txprof.profile(on_finding="raise"):
        for _ in range(2):
            with (
                pytest.warns(txprof.TransactionHygieneWarning),
                pytest.raises(txprof.TransactionHygieneError) as caught,
            ):
                work()
    assert reached == []
    error = caught.value
    assert "leave the `with engine.begin()` block" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is txprof.TransactionHygieneError
    assert (str(again), again.finding) == (str(error), error.finding)


def test_raise_is_also_warned_when_a_broad_except_eats_it(engine: Engine) -> None:
    def work() -> None:
        with contextlib.suppress(Exception):
            in_transaction(engine)

    with (
        pytest.warns(txprof.TransactionHygieneWarning, match="io-in-transaction"),
        txprof.profile(on_finding="raise") as prof,
    ):
        work()
    assert_flagged(prof, "io-in-transaction", count=1)


# external_call, watch


def test_external_calls_nest_into_one() -> None:
    with txprof.profile() as prof, txprof.external_call("rpc", "outer"):
        call("inner")
    assert calls_seen(prof) == [("rpc", "outer", 1)]


def test_a_watched_function_is_an_external_call(engine: Engine) -> None:
    with txprof.watch("watched:charge", kind="rpc") as watch:
        import watched

        with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            assert watched.charge(1) == 2  # call
        finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"))
        assert finding.details["target"] == "watched.charge"
    assert watch.target == "watched:charge"
