"""The fixture `txprof`: the live profile of a test."""

from __future__ import annotations

from typing import Any

import txprof
from pytest_txprof.suite import queries_of


class Live:
    """What was seen of the test so far. Nothing before its call, all of it in tear-down."""

    expect = txprof.expect
    allow = txprof.allow

    def __init__(self) -> None:
        self.profile: txprof.Profile | None = None
        """The `txprof.Profile` itself, from the test's call on."""
        self.allowed: frozenset[str] = frozenset()
        """The rules that `@pytest.mark.txprof_allow` lets it break."""

    @property
    def findings(self) -> list[txprof.Finding]:
        """What the rules found, whether it fails the test or not; without what it may do."""
        found = [] if self.profile is None else self.profile.findings
        return [finding for finding in found if finding.rule not in self.allowed]

    @property
    def queries(self) -> list[txprof.Query]:
        """The statements that ran, by text and line."""
        return [] if self.profile is None else queries_of(self.profile)

    @property
    def query_count(self) -> int:
        """How many statements ran."""
        return sum(query.count for query in self.queries)

    @property
    def external_calls(self) -> int:
        """How many external calls were seen, findings or not."""
        return 0 if self.profile is None else self.profile.external_calls

    def render(self, **options: Any) -> str:
        """The annotated report."""
        return "" if self.profile is None else self.profile.render(**options)

    def __repr__(self) -> str:
        return f"<txprof of a test: {self.profile!r}>"
