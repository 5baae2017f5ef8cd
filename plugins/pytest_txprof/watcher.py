"""Watches each test's call, and says what became of it."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

import txprof
from pytest_txprof import guard_key, live_key
from pytest_txprof.failure import Shown
from pytest_txprof.options import Choices
from pytest_txprof.suite import Suite, queries_of

test_key = pytest.StashKey["Watched"]()

_LIMITS = ("max_queries", "max_db_time")
_MARKERS = frozenset(("txprof", "txprof_allow", *_LIMITS))


class Watched:
    """One test whose call is watched."""

    def __init__(
        self, item: pytest.Item, marks: Collection[str], choices: Choices, *, judged: bool
    ) -> None:
        chooser = item if "txprof" in marks else None
        self.mode = choices.of_test("mode", chooser) if judged else "report"
        self.rules: tuple[str, ...] | None = choices.of_test("rules", chooser)
        self.raises = self.mode == "fail" and choices.of_test("on_finding", chooser) == "raise"
        self.lines = choices.of_test("lines", chooser)
        self.allowed = allowed_by_markers(item) if "txprof_allow" in marks else {}
        self.limits = [name for name in _LIMITS if name in marks]
        self.block: Any = None
        """Watches while it is open."""
        self.profile: txprof.Profile | None = None
        self.reported: dict[str, Any] | None = None
        """What its report is to tell the summary."""
        self.why_failed = ""
        """The first reason, where txprof alone fails it."""
        self.is_judged = False

    def settings(self) -> dict[str, Any]:
        """Of its profile."""
        found: dict[str, Any] = {"on_finding": "ignore", "exemplars": 3}
        if self.raises:
            rules = self.rules or ()
            allowed = self.allowed
            found["on_finding"] = "raise"
            found["raise_rules"] = tuple(rule for rule in rules if rule not in allowed)
        if self.lines == "auto":
            found["lines"] = "auto"
        return found

    def fails(self, finding: txprof.Finding) -> bool:
        """Whether it is of a rule that fails this test."""
        return self.rules is None or finding.rule in self.rules


class Watcher:
    """The hooks that run around tests."""

    def __init__(self, config: pytest.Config) -> None:
        from pytest_txprof import is_asked

        self._config = config
        self._guard = config.stash[guard_key]
        self._fixture_guard = self._guard("the set-up of a fixture")
        self._all = is_asked(config)
        self.choices = Choices.of(config)
        self.choices.check()
        self.suite = Suite(config, self.choices.of_run("harness"))
        self.known = self.choices.known
        self.recordings = self.choices.recordings()
        self._shown = Shown(config.rootpath, full=config.get_verbosity() >= 2)
        _check_settings()
        self.suite.harness.take_over()

    def collected(self, items: Sequence[pytest.Item]) -> None:
        """Told of the tests once they are known; their markers are checked."""
        self.suite.collected(items)
        for item in items:
            if _marks(item):
                self.choices.check_test(item)
                allowed_by_markers(item)
                for name in _LIMITS:
                    limit(item, name)

    # Around a test.

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self) -> Generator[None, Any, Any]:
        __tracebackhide__ = True  # of a fixture's own error
        is_aside = False
        with self._fixture_guard:
            self.suite.harness.__enter__()  # also one that a test's body asks for
            is_aside = True
        try:
            return (yield)
        finally:
            if is_aside:
                with self._fixture_guard:
                    self.suite.harness.__exit__()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        __tracebackhide__ = True
        watched = None
        with self._guard("the start of a test"):
            watched = self._begin(item)
        if watched is None:
            return (yield)
        error: BaseException | None = None
        try:
            result = yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            # A unittest tells of its failure in another way.
            failed = error is not None or bool(getattr(item, "_excinfo", None))
            with self._guard("the end of a test"):
                self._end(watched, error if failed else None, failed=failed)
            if not isinstance(error, pytest.skip.Exception):
                with self._guard("the judgement of a test"):
                    self._judge(item, watched, quiet=failed)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        __tracebackhide__ = True
        result = yield
        with self._guard("the judgement of a tear-down"):
            self._judge_late(item)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        watched = item.stash.get(test_key, None)
        if watched is not None and watched.reported is not None:
            report.txprof = watched.reported  # type: ignore[attr-defined]
            watched.reported = None
        if watched is not None and watched.why_failed:
            _summarize(report, watched.why_failed)
            watched.why_failed = ""
        if watched is not None and report.when == "teardown":
            del item.stash[test_key]  # items live until the end of the run, and so would profiles
        self._guard.tell(report)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self.recordings is not None:
            with self._guard("the recordings"):
                self.recordings.finish()

    def _begin(self, item: pytest.Item) -> Watched | None:
        """Watch it from now on, if it is to be."""
        watched = self._watched(item)
        if watched is None:
            return None
        self.suite.begins(item)
        live = item.stash.get(live_key, None)
        watched.block = txprof.profile(
            name=item.nodeid, harness=self.suite.harness, **watched.settings()
        )
        watched.profile = watched.block.__enter__()
        item.stash[test_key] = watched
        if live is not None:
            live.profile, live.allowed = watched.profile, frozenset(watched.allowed)
        return watched

    def _end(self, watched: Watched, error: BaseException | None, *, failed: bool) -> None:
        try:
            watched.block.__exit__(*((type(error), error, None) if failed else (None, None, None)))
        except txprof.TransactionHygieneError:
            pass  # judged with the rest

    def _judge_late(self, item: pytest.Item) -> None:
        """What a fixture of it should have given back, and did not."""
        watched = item.stash.get(test_key, None)
        if watched is not None and watched.profile is not None and watched.is_judged:
            late = watched.profile.unreturned()
            if late:
                self._judge(item, watched, quiet=False, late=late)

    def _watched(self, item: pytest.Item) -> Watched | None:
        marks = _marks(item)
        judged = self._all or "txprof" in marks
        limited = any(name in marks for name in _LIMITS)
        if judged or limited or "txprof" in getattr(item, "fixturenames", ()):
            return Watched(item, marks, self.choices, judged=judged)
        return None

    # What became of it.

    def _judge(
        self,
        item: pytest.Item,
        watched: Watched,
        *,
        quiet: bool,
        late: Sequence[txprof.Finding] | None = None,
    ) -> None:
        """Fail the test, or warn, or keep silent; `quiet`: its own failure wins. `late`: what was
        found since it was judged."""
        assert watched.profile is not None
        findings = watched.profile.findings if late is None else late
        told: list[dict[str, Any]] = []
        open_findings = []
        for finding in findings:
            why = self._suppressed(watched, finding)
            if why is None:
                open_findings.append(finding)
            told.append(self._told(finding, why, fails=watched.fails(finding)))
        failing = [finding for finding in open_findings if watched.fails(finding)]
        limits = []
        figures = _NOTHING
        if not watched.is_judged:
            queries = queries_of(watched.profile)
            limits = self._limits(item, watched, queries)
            if self.recordings is not None:
                self.recordings.keep(item, watched.profile)
            figures = self._figures(watched.profile, queries)
            item.user_properties += self._properties(figures, open_findings)
        watched.reported = {
            **figures,
            "nodeid": item.nodeid,
            "mode": watched.mode,
            "findings": told,
        }
        watched.is_judged = True
        if watched.mode == "warn":
            for finding in failing:
                item.warn(txprof.TransactionHygieneWarning(self._shown.one_line(finding)))
        if watched.mode != "fail":
            failing = []
        if not failing and not limits:
            return
        text = self._text(watched, failing, limits)
        if quiet:
            item.add_report_section("call", "txprof", text)
        else:
            watched.why_failed = self._shown.one_line(failing[0]) if failing else limits[0]
            pytest.fail(text, pytrace=False)

    def _suppressed(self, watched: Watched, finding: txprof.Finding) -> str | None:
        """Which entry lets it be."""
        if finding.rule in watched.allowed:
            return f"@pytest.mark.txprof_allow: {watched.allowed[finding.rule]}"
        return None if self.known is None else self.known.suppresses(finding)

    def _figures(self, profile: txprof.Profile, queries: Sequence[txprof.Query]) -> dict[str, Any]:
        """What the summary adds up."""
        holds = [
            [exemplar.seconds, self._shown.place(exemplar.opened[0])]
            for exemplar in profile.exemplars
            if exemplar.opened
        ]
        return {
            "tests": 1,
            "statements": sum(query.count for query in queries),
            "calls": profile.external_calls,
            "visits": profile.visits,
            "holds": holds,
            "files": sorted(self._files(queries)),
        }

    def _files(self, queries: Sequence[txprof.Query]) -> set[str]:
        """Those of the application that ran statements."""
        files = {site.file for query in queries for site in query.call_path}
        return {self._shown.file(file) for file in files if not self.suite.is_suite(file)}

    def _told(self, finding: txprof.Finding, why: str | None, *, fails: bool) -> dict[str, Any]:
        """A finding as a report carries it: from a worker to who writes the summary."""
        return {
            "rule": finding.rule,
            "fails": fails,
            "fingerprint": finding.fingerprint,
            "file": self._shown.file(finding.site.file),
            "line": finding.site.line,
            "function": finding.site.function,
            "target": str(finding.details.get("target") or finding.details.get("engine") or ""),
            "message": finding.message,
            "hint": finding.hint,
            "shown": self._shown.one_line(finding),
            "alike": [
                finding.rule,
                *finding.site,
                str(finding.details.get("statement") or finding.details.get("relationship") or ""),
            ],
            "suppressed": why,
        }

    def _properties(
        self, figures: Mapping[str, Any], findings: Iterable[txprof.Finding]
    ) -> list[tuple[str, object]]:
        """For the JUnit report."""
        return [
            ("txprof.statements", figures["statements"]),
            ("txprof.external_calls", figures["calls"]),
            *(("txprof.finding", self._shown.one_line(finding)) for finding in findings),
        ]

    def _limits(
        self, item: pytest.Item, watched: Watched, queries: Sequence[txprof.Query]
    ) -> list[str]:
        """What the test's limits have to say."""
        if not watched.limits:
            return []
        told = []
        count = sum(query.count for query in queries)
        seconds = sum(query.seconds for query in queries)
        most, longest = limit(item, "max_queries"), limit(item, "max_db_time")
        if most is not None and count > most:
            told.append(f"max_queries: {count} statements ran, at most {most:g} may")
        if longest is not None and seconds > longest:
            told.append(f"max_db_time: statements took {seconds:.3f} s, at most {longest:g} s may")
        if told:
            return [*told, *self._shown.queries(queries)]
        return []

    def _text(
        self, watched: Watched, failing: Sequence[txprof.Finding], limits: Sequence[str]
    ) -> str:
        parts = [self._shown.findings(failing), "\n".join(limits)]
        if watched.lines == "auto" and watched.profile is not None and failing:
            parts.append(watched.profile.render(width=None if self._shown.full else 100))
        return "\n\n".join(part for part in parts if part)


def _summarize(report: pytest.TestReport, why: str) -> None:
    """Let the short summary say this alone: on a CI, and with -vv, pytest repeats the message."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = f"Failed: {why}"


def _check_settings() -> None:
    """UsageError, before the first test, for settings that are wrong wherever they stand."""
    try:
        txprof.profile(on_finding="ignore")
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"txprof: {error}") from None


_NOTHING: Mapping[str, Any] = MappingProxyType(
    {"tests": 0, "statements": 0, "calls": 0, "visits": 0, "holds": [], "files": []}
)
"""The figures of a test that was counted already."""


def _marks(item: pytest.Item) -> frozenset[str]:
    """Which of our markers it has: most tests have none, and then no more is asked."""
    return _MARKERS.intersection(marker.name for marker in item.iter_markers())


def allowed_by_markers(item: pytest.Item) -> dict[str, str]:
    """Rule -> reason."""
    found: dict[str, str] = {}
    for marker in item.iter_markers("txprof_allow"):
        place = f"{item.nodeid}: @pytest.mark.txprof_allow"
        reason = marker.kwargs.get("reason")
        unknown = set(marker.kwargs) - {"reason"}
        if unknown or not marker.args:
            raise pytest.UsageError(f"{place} takes names of rules, and reason='...'")
        for rule in marker.args:
            try:
                txprof.allow(rule, reason=reason if reason is not None else "")
            except (TypeError, ValueError) as error:
                raise pytest.UsageError(f"{place}: {error}") from None
            found.setdefault(rule, str(reason))
    return found


def limit(item: pytest.Item, name: str) -> float | None:
    """The number that `max_queries` or `max_db_time` says."""
    marker = item.get_closest_marker(name)
    if marker is None:
        return None
    number = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.{name} takes one number from 0 on, not "
            f"{', '.join(map(repr, marker.args)) or 'nothing'}"
        )
    return number
