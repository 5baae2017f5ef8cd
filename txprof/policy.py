"""What is allowed, and what happens when a rule fires while the program runs."""

from __future__ import annotations

import fnmatch
import logging
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from txprof import rules, safety
from txprof.collector import Collector
from txprof.errors import TransactionHygieneError, TransactionHygieneWarning
from txprof.recorded import CallRow
from txprof.settings import Settings, split_rule

if TYPE_CHECKING:
    from txprof.found import Call, Finding

logger = logging.getLogger("txprof")


class Allowance:
    """A rule that the program switched off for a while, and why."""

    __slots__ = ("reason", "rule")

    def __init__(self, rule: str, reason: str) -> None:
        self.rule = rule
        self.reason = reason


allowances: ContextVar[tuple[Allowance, ...]] = ContextVar("txprof_allowances", default=())


class Expectation:
    """A rule that is to be broken now, on any thread, and the collector that looks for it."""

    __slots__ = ("collector", "rule")

    def __init__(self, rule: str, collector: Collector) -> None:
        self.rule = rule
        self.collector = collector


expected: list[Expectation] = []


def allowed_here(rule: str, watcher: Collector | None = None) -> str | None:
    """Why a rule may be broken here: an `allow` block or decorator, or others expect it."""
    for allowance in allowances.get():
        if allowance.rule == rule:
            return allowance.reason
    return expected_of(rule, watcher) if expected else None


def is_silent() -> bool:
    """Whether neither the context, nor a test, nor a predicate has a say in what is allowed here.

    What the settings allow is the same each time.
    """
    return not (expected or predicates or allowances.get())


def expected_of(rule: str, watcher: Collector | None) -> str | None:
    """Why others than who expects a rule to be broken do not mind."""
    mine = [each.collector for each in expected if each.rule == rule]
    return "it is expected here" if mine and watcher not in mine else None


def allowed(rule: str, row: CallRow, host: str | None, watcher: Collector) -> str | None:
    """Why this call is no finding: an `allow` block, or the settings."""
    return allowed_here(rule, watcher) or _allowed_by_configuration(
        rule, row, host, watcher.settings
    )


def commented(rule: str, row: CallRow) -> str | None:
    """Why a comment lets it be, on its line or on one further in."""
    from txprof import comments  # nothing mixes as a rule

    mixing = rules.site_of(row)
    for site in row.path:
        reason = comments.reason(rule, site.file, site.line)
        if reason is not None:
            return reason
        if site == mixing:
            break
    return None


def _allowed_by_configuration(
    rule: str, row: CallRow, host: str | None, settings: Settings
) -> str | None:
    if not (settings.allow_kinds or settings.allow_hosts or predicates):
        return None
    if _named(settings.deny_kinds, rule, row.kind) or _host_named(settings.deny_hosts, rule, host):
        return None
    if _named(settings.allow_kinds, rule, row.kind):
        return f"the settings allow the kind {row.kind}"
    pattern = _host_named(settings.allow_hosts, rule, host)
    if pattern is not None:
        return f"the settings allow the host {pattern}"
    if predicates:
        from txprof.found import Call

        call = Call(rule, row.kind, row.target, host, row.path)
        for predicate in predicates:
            if predicate.allows(call):
                return predicate.reason
    return None


def _named(entries: tuple[str, ...], rule: str, kind: str) -> bool:
    return any(split_rule(entry) in ((None, kind), (rule, kind)) for entry in entries)


def _host_named(entries: tuple[str, ...], rule: str, host: str | None) -> str | None:
    """The pattern for this rule, or any, that the host matches."""
    if host is not None:
        for of_rule, pattern in map(split_rule, entries):
            if of_rule in (None, rule) and _host_matches(host, pattern):
                return pattern
    return None


class Predicate:
    """Calls that the program lets be: see `txprof.allow_if`."""

    def __init__(self, allows: Callable[[Call], object], reason: str) -> None:
        self._allows = allows
        self.reason = reason
        self._failed = False
        predicates.append(self)

    def allows(self, call: Call) -> bool:
        """Whether it says so. An error of its own allows nothing, and is warned of once."""
        try:
            with safety.aside():
                return bool(self._allows(call))
        except Exception:
            if not self._failed:
                self._failed = True
                logger.warning("txprof: %r, given to allow_if, failed", self._allows, exc_info=True)
            return False

    def remove(self) -> None:
        """Ask it no more."""
        if self in predicates:
            predicates.remove(self)

    def __enter__(self) -> Predicate:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


predicates: list[Predicate] = []


def react(
    collector: Collector, finding: Finding, key: tuple[object, ...], *, late: bool = False
) -> None:
    """Do what `on_finding` says; only "raise" and the user's own callable can raise.

    A log line and a callable are told of each finding once a profile; raising is for every call,
    but for one that has gone out already (`late`): that is warned of and logged. What is merely
    worth knowing ("info") is logged.
    """
    action = collector.settings.on_finding
    weighed = None if action == "ignore" else rules.weighed(finding, collector.settings)
    if weighed is None:
        return
    finding = weighed
    if action == "raise" and finding.severity != "info" and _raises(finding, collector.settings):
        _warn(finding)
        if not late:
            raise TransactionHygieneError(finding)
    if key in collector.reported:
        return
    collector.reported.add(key)
    if callable(action):
        action(finding)
    else:
        site = finding.site
        logger.warning(
            "%s at %s:%d in %s: %s -> %s",
            finding.rule,
            site.file,
            site.line,
            site.function,
            finding.message,
            finding.hint,
        )


def _raises(finding: Finding, settings: Settings) -> bool:
    return not settings.raise_rules or finding.rule in settings.raise_rules


def _warn(finding: Finding) -> None:
    try:
        warnings.warn_explicit(
            f"{finding.rule}: {finding.message}",
            TransactionHygieneWarning,
            filename=finding.site.file,
            lineno=finding.site.line,
        )
    except TransactionHygieneWarning:
        pass  # under -W error; the error that follows says the same


def _host_matches(host: str, pattern: str) -> bool:
    name, _, port = host.rpartition(":")
    if fnmatch.fnmatchcase(host.lower(), pattern.lower()):
        return True
    return port.isdigit() and fnmatch.fnmatchcase(name.lower(), pattern.lower())
