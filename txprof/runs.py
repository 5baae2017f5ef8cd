"""A run: a collector that watches, the functions it times, and the profile it yields."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any

from txprof import callsite, lines, policy, rules, sensors, visits
from txprof.collector import (
    Collector,
    active,
    unwatch_context,
    unwatch_process,
    watch_context,
    watch_process,
)
from txprof.entries import Entry
from txprof.recorded import Recorded
from txprof.results import Profile
from txprof.safety import note_once
from txprof.sensors import sessions
from txprof.sensors.leaks import Leaks
from txprof.settings import Settings

if TYPE_CHECKING:
    from txprof.boundary import Boundary
    from txprof.found import Finding
    from txprof.lines.names import Names


class Run:
    """One profile being taken, from construction to `close`."""

    def __init__(self, name: str, functions: Sequence[FunctionType], settings: Settings) -> None:
        _end_what_is_over()
        callsite.include(settings.application)
        sensors.install(with_sockets=settings.sockets)
        self.collector = collector = Collector(name, settings, function_rows=lines.rows)
        self.profile = Profile(collector.snapshot, settings)
        if functions:
            self.time_lines(functions)
        if settings.lines == "auto":
            from txprof.lines import openers

            openers.watch()

    def time_lines(self, functions: Iterable[FunctionType]) -> None:
        """Line-profile these too, from now on."""
        lines.timer().attach(functions, self.collector)

    def close(self) -> None:
        """It is over: keep what there is, and let go of the functions."""
        _close(self.profile, self.collector)


class BlockRun(Run):
    """The run of a `with` block: watches the whole process, or its context only."""

    def __init__(
        self,
        name: str,
        functions: Sequence[FunctionType],
        settings: Settings,
        *,
        scope: str,
        names: Sequence[str] = (),
        before_main: bool = False,
        around: Boundary | None = None,
    ) -> None:
        self._names: Names | None = None
        if names:
            from txprof.lines.names import Names

            self._names = Names(names, before_main=before_main)
        loaded = [] if self._names is None else self._names.loaded()
        super().__init__(name, functions, settings)
        for found, by_file in loaded:
            self._attach(found, by_file)
        self.expectation: policy.Expectation | None = None
        """What is expected of it, if it is a `txprof.expect`."""
        self._leaks = Leaks()
        self._harness = self.collector.harness = around
        if around is not None:
            visits.begin(around)
            sessions.listen()
            before = around.visits
            self.profile.ask(visits=lambda: around.visits - before)
        if self._names is not None:
            self._names.start(self._attach)
            if before_main:
                from txprof.lines import main_module

                main_module.find(self._names, self.collector)
        self._in_context = scope == "context"
        if self._in_context:
            self._entry = self.collector.begin(is_block=True)
            watch_context(self._entry)
        else:
            self._entry = watch_process(self.collector)

    def _attach(self, functions: Iterable[FunctionType], by_file: bool) -> None:
        lines.timer().attach(functions, self.collector, by_file=by_file)

    def abandon(self) -> None:
        """In a forked child: the block is its parent's, and so is what was counted."""
        if self._names is not None:
            self._names.stop(tell=False)
        unwatch_process(self._entry)
        unwatch_context(self._entry)
        self.close()

    def leave(self, *, failed: bool, tell_names: bool = True) -> None:
        """The block was left. `tell_names`: say which names led nowhere."""
        if self._names is not None:
            self._names.stop(tell=tell_names)
        if self._in_context:
            unwatch_context(self._entry)
        else:
            unwatch_process(self._entry)
        self.collector.pause(self._entry, calls=0)
        self.collector.fold(self._entry)
        found = []
        if self._harness is None:
            found = self._leaks.at_end(self._entry)
        else:
            visits.end(self._harness)
            count = self.profile.visits
            late = functools.partial(self._leaks.at_end, self._entry, late=True)
            self.profile.ask(visits=lambda: count, unreturned=late)
            if not failed:  # a traceback keeps alive what would be given back
                found = self._leaks.at_end(self._entry)
        self.close()
        tell(self._entry, self.profile.recorded, found, failed=failed)


class DecoratedRun(Run):
    """The run of a decorated function or class: watches where its calls run.

    What was decorated and the calls of it hold it. When all of them are gone (a nested function,
    decorated anew at each call) it ends. It keeps no function alive, or that would never be.
    """

    def __init__(self, name: str, functions: Sequence[FunctionType], settings: Settings) -> None:
        super().__init__(name, functions, settings)
        self._place = (name, *((each.__module__, each.__qualname__) for each in functions))
        self._reports_at_exit = False
        # Not at once: the garbage collector may run while locks are held.
        over = functools.partial(_end, self.profile, self.collector, self._place)
        weakref.finalize(self, _over.append, over).atexit = False

    def span(self, functions: Sequence[FunctionType]) -> CallSpan:
        """A call begins."""
        settings = self.collector.settings
        if settings.report == "exit" and not self._reports_at_exit:
            self._reports_at_exit = True
            reports = _at_exit.get(self._place)
            if reports is None:
                reports = _at_exit[self._place] = []
                atexit.register(_report_all, reports)
            reports.append(self.profile)
        return CallSpan(self, functions)


_over: deque[Callable[[], None]] = deque()
"""What ends the runs that are gone; done when the next one starts."""

_at_exit: dict[tuple[Any, ...], list[Profile]] = {}
"""Place of a decorated function -> what it reports at exit: a profile per decoration in use, and
one of those that are over."""


def _forget_reports() -> None:
    """In a forked child: what its parent counted is for the parent to report."""
    for reports in _at_exit.values():
        reports.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_reports)


def _end_what_is_over() -> None:
    while _over:
        _over.popleft()()


def _close(profile: Profile, collector: Collector) -> None:
    profile.finish()
    collector.slowest.close()
    lines.release(collector)


def _end(profile: Profile, collector: Collector, place: tuple[Any, ...]) -> None:
    """A decorated function is gone: add it up with those of the same place that went before."""
    _close(profile, collector)
    reports = _at_exit.get(place)
    if reports is not None and profile in reports:
        _add_up(reports)


def _add_up(profiles: list[Profile]) -> None:
    over = [profile for profile in profiles if profile.is_over]
    if len(over) > 1:
        from txprof.recording import merge

        merged = Profile.of(merge(profile.recorded for profile in over), over[0].settings)
        profiles[:] = [merged, *(profile for profile in profiles if not profile.is_over)]


def _report_all(profiles: list[Profile]) -> None:
    """At exit: one report, however often the function was decorated."""
    for profile in profiles:
        profile.finish()
    _add_up(profiles)
    for profile in profiles:
        report(profile)


class CallSpan:
    """One call of a decorated function (`txprof.around.Span`); a call within a call is part of it.

    Under `report="call"` it has a run of its own, which is printed when it ends.
    """

    __slots__ = ("_calls", "_entries", "_functions", "_leaks", "_nested", "_own", "_run")

    def __init__(self, run: DecoratedRun, functions: Sequence[FunctionType]) -> None:
        self._run = run
        self._functions = functions
        self._calls = 1
        self._own: Run | None = None
        self._entries: list[Entry] = []
        self._nested = False

    def enter(self) -> None:
        """The function runs from here."""
        run = self._run
        self._nested = run.collector in active()
        if self._nested:
            return
        if not self._entries:
            self._leaks = Leaks()
            self._entries.append(run.collector.begin())
            if run.collector.settings.report == "call":
                self._own = Run(run.collector.name, self._functions, run.collector.settings)
                # What the whole profile was told of is not told again for each call.
                self._own.collector.reported = run.collector.reported
                self._entries.append(self._own.collector.begin())
        else:
            for entry in self._entries:
                entry.collector.resume(entry)
        for entry in self._entries:
            watch_context(entry)

    def leave(self) -> None:
        """It returned, or gave its consumer a value."""
        if self._nested:
            return
        for entry in reversed(self._entries):
            unwatch_context(entry)
            entry.collector.pause(entry, calls=self._calls)
        self._calls = 0

    def end(self, *, failed: bool) -> None:
        """It will not run again."""
        if not self._entries:
            return
        found = [entry.collector.fold(entry) for entry in self._entries]
        leaks = [self._leaks.at_end(entry, self._functions) for entry in self._entries]
        if self._own is not None:
            self._own.close()
            report(self._own.profile)
            self._own = None
        tell(self._entries[0], found[0], leaks[0], failed=failed)


def tell(entry: Entry, found: Recorded, leaks: Sequence[Finding], *, failed: bool) -> None:
    """Tell `on_finding` of what only the end can judge; raise nothing over another exception."""
    collector = entry.collector
    if not (found.bursts or found.idle or found.transactions or leaks or entry.untold):
        return
    try:
        # Calls and checkouts are told of when they happen.
        rest = replace(found, external_calls=[], checkouts=[])
        findings = [*rules.judge(rest, collector.settings), *leaks, *entry.untold]
    except Exception as error:
        note_once("the judgement of an entry", error)
        return
    for finding in findings:
        policy.react(collector, finding, (finding.fingerprint, finding.site), late=failed)


def report(profile: Profile) -> None:
    """Print to stderr; a closed stderr must not fail the program."""
    try:
        profile.print(sys.stderr)
    except Exception:
        pass
