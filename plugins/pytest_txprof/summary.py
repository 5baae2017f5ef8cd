"""What came of all tests: at the end of the terminal's output, and in the baseline file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_txprof.guard import Guard
from pytest_txprof.options import Choices

if TYPE_CHECKING:
    from pytest_txprof.known import Entry, Known
    from pytest_txprof.recordings import Recordings

_SLOWEST = 3


class Summary:
    """Adds up what the reports of tests carry, from this process or from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        from pytest_txprof import guard_key

        self._config = config
        self._guard = config.stash[guard_key]
        self._choices = Choices.of(config)
        self._known = self._choices.known
        self._is_worker = hasattr(config, "workerinput")
        self._figures: Counter[str] = Counter()
        self._holds: list[tuple[float, str, str]] = []
        self._findings: dict[tuple[str, str], dict[str, Any]] = {}
        """By test and fingerprint: a test that is run again counts once."""
        self._ran: set[str] = set()
        self._failed: set[str] = set()
        self._files: set[str] = set()
        self._deselected = 0
        self._stale: list[Entry] = []
        self._written: list[Entry] | None = None
        recordings = self._choices.recordings()
        if recordings is not None and not self._is_worker:
            workers = _Workers(recordings, self._guard)
            config.pluginmanager.register(workers, "txprof-workers")

    def add(self, report: pytest.TestReport) -> None:
        """A test was run."""
        told: dict[str, Any] = report.txprof
        test = told["nodeid"]
        self._ran.add(test)
        for name in ("tests", "statements", "calls", "visits"):
            self._figures[name] += told[name]
        if told["holds"]:
            self._holds += [(seconds, place, test) for seconds, place in told["holds"]]
            self._holds = sorted(self._holds, reverse=True)[:_SLOWEST]
        self._files.update(told["files"])
        if report.outcome == "failed" and told["mode"] == "fail":
            self._failed.add(test)
        for finding in told["findings"]:
            self._findings[test, finding["fingerprint"]] = {**finding, "test": test}

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._deselected += len(items)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if not self._is_worker and self._known is not None:
            with self._guard("the baseline"):
                self._finish_known(self._known, session, exitstatus)

    def _finish_known(self, known: Known, session: pytest.Session, exitstatus: int) -> None:
        found = list(self._findings.values())
        whole = exitstatus in (0, 1) and not self._deselected and self._is_whole(session)
        self._stale = known.stale(found, self._ran, whole=whole)
        if self._choices.of_run("update_baseline"):
            failing = [finding for finding in found if finding["fails"]]
            self._written = known.updated(failing, self._stale)
            known.write(self._written)
        elif self._stale and self._choices.of_run("strict_baseline") and exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _is_whole(self, session: pytest.Session) -> bool:
        option = self._config.option
        return not (option.file_or_dir or session.shouldstop or session.shouldfail)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, Any, Any]:
        with self._guard("the summary"):
            if self._has_news(terminalreporter):
                self._write(terminalreporter)
        result = yield
        with self._guard("the summary"):
            for line in self._more_lines():
                terminalreporter.write_line(line)
        self._guard.write(terminalreporter)
        return result

    def _has_news(self, terminal: pytest.TerminalReporter) -> bool:
        """Of a run that only collects, or finds no test to run, pytest has said all there is."""
        from pytest_txprof import is_asked

        if self._figures["tests"] or self._known is not None:
            return True
        ran = any(terminal.stats.get(outcome) for outcome in ("passed", "failed"))
        return ran and is_asked(self._config)

    def _write(self, terminal: pytest.TerminalReporter) -> None:
        terminal.section("txprof")
        figures = self._figures
        open_findings = [each for each in self._findings.values() if each["suppressed"] is None]
        kinds = Counter(finding["rule"] for finding in open_findings)
        tests = {finding["test"] for finding in open_findings}
        terminal.write_line(
            f"{_count(figures['tests'], 'test')} watched · "
            f"{_count(figures['statements'], 'statement')} · "
            f"{_count(figures['calls'], 'external call')} · "
            f"{_count(len(open_findings), 'finding')}"
            + (f" in {_count(len(tests), 'test')}" if tests else "")
        )
        if kinds:
            terminal.write_line(
                "  " + " · ".join(f"{rule} {number}" for rule, number in sorted(kinds.items()))
            )
        self._warn_of_nothing(terminal)
        for why, number in self._suppressed():
            terminal.write_line(f"  suppressed: {number} by {why}")
        for seconds, place, test in self._holds:
            terminal.write_line(f"  slowest transaction: {seconds * 1e3:.1f} ms, {place} ({test})")
        if self._known is not None:
            self._write_known(terminal, self._known)
        self._write_reported(terminal, open_findings)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in self._annotations(open_findings):
                terminal.write_line(line)

    def _warn_of_nothing(self, terminal: pytest.TerminalReporter) -> None:
        if not self._figures["statements"]:
            terminal.write_line(
                "  0 statements were seen: nothing was checked. Either no test reaches the "
                "database through SQLAlchemy, or txprof is blind here: `txprof doctor` tells.",
                yellow=True,
                bold=True,
            )
        elif not self._figures["visits"]:
            terminal.write_line(
                "  none of the statements came from the application: nothing was checked. If it is "
                "an installed package, name it: application = ['package'] in [tool.txprof].",
                yellow=True,
                bold=True,
            )
        elif not self._files:  # the suite's own functions may be called back by it all the same
            terminal.write_line(
                "  no statement came from a file outside of the suite. If the application is an "
                "installed package, name it: application = ['package'] in [tool.txprof].",
                yellow=True,
            )

    def _suppressed(self) -> list[tuple[str, int]]:
        counts = Counter(
            str(each["suppressed"]) for each in self._findings.values() if each["suppressed"]
        )
        return sorted(counts.items())

    def _write_known(self, terminal: pytest.TerminalReporter, known: Known) -> None:
        file = known.file
        if self._written is not None:
            todo = sum(entry.section == "todo" for entry in self._written)
            terminal.write_line(f"  {file.name} was written: {todo} todo")
        gone = "dropped from" if self._written is not None else "no longer occurs, in"
        for entry in self._stale:
            if self._written is None or entry.section == "todo":
                terminal.write_line(f"  {gone} {file.name}: {entry}", yellow=True)
        for entry in known.too_wide(self._files):
            terminal.write_line(
                f"  {file.name}: {entry} silences more than half of the application",
                yellow=True,
                bold=True,
            )

    def _write_reported(
        self, terminal: pytest.TerminalReporter, findings: list[dict[str, Any]]
    ) -> None:
        """What failed no test, a line for each that is told at one line of code."""
        told: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for finding in findings:
            if finding["test"] not in self._failed or not finding["fails"]:
                told.setdefault(tuple(finding["alike"]), []).append(finding)
        for line in sorted(map(_of_tests, told.values())):
            terminal.write_line(f"  {line}")

    def _more_lines(self) -> Iterator[str]:
        """After the short summary, which has one line a test: its other findings."""
        seen = set()
        for finding in self._findings.values():
            test = finding["test"]
            if test in self._failed and finding["fails"] and finding["suppressed"] is None:
                if test in seen:
                    yield f"txprof {test} - {finding['shown']}"
                seen.add(test)

    def _annotations(self, findings: list[dict[str, Any]]) -> Iterator[str]:
        """For GitHub Actions, which shows them at the line."""
        seen = set()
        for finding in findings:
            if finding["fingerprint"] not in seen:
                seen.add(finding["fingerprint"])
                level = "error" if finding["fails"] else "warning"
                file = _escaped(finding["file"], ",:")
                title = _escaped(f"txprof: {finding['rule']}", ",:")
                text = _escaped(f"{finding['message']}\n{finding['hint']}")
                yield f"::{level} file={file},line={finding['line']},title={title}::{text}"


class _Workers:
    """The controller of xdist: its workers send what they kept."""

    def __init__(self, recordings: Recordings, guard: Guard) -> None:
        self._recordings = recordings
        self._guard = guard

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        recording = getattr(node, "workeroutput", {}).get("txprof")
        if recording:
            with self._guard("a worker's recording"):
                self._recordings.add_worker(recording)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        with self._guard("the reports' files"):
            self._recordings.write()


def _of_tests(findings: list[dict[str, Any]]) -> str:
    """One line for what differs in its figures alone."""
    tests = len({finding["test"] for finding in findings})
    return str(findings[0]["shown"]) + (f" (and so in {tests} tests)" if tests > 1 else "")


def _escaped(text: str, also: str = "") -> str:
    """As a workflow command of GitHub Actions wants it."""
    for letter in "%\r\n" + also:
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
