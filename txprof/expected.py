"""`with txprof.expect(rule)`: a block that has to break a rule, as a test of a finding says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txprof.results import Profile


class expect:
    """Fail unless a rule is broken in the block; to others who watch it is allowed there.

    `with txprof.expect("n-plus-one") as prof: list_orders()`. Watches the whole process, as
    `txprof.profile` blocks do, and under a harness judges by it: a loop of the harness's own counts
    here, too. `settings` are those of `profile`.

    Raises:
        ValueError: for a rule that does not exist.
        AssertionError: when the block ends, and there is no finding of the rule.
    """

    def __init__(self, rule: str, **settings: Any) -> None:
        from txprof.rules import check_rule
        from txprof.settings import current

        self._rule = check_rule(rule)
        self._settings = current().with_arguments({"on_finding": "ignore", **settings})
        self._running: list[Any] = []

    def __enter__(self) -> Profile:
        return self._begin(sys._getframe(1).f_lineno)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        from txprof import policy

        run = self._running.pop()
        if run is None:
            return
        policy.expected.remove(run.expectation)
        run.leave(failed=kind is not None)
        if kind is None:
            self._check(run.profile)

    async def __aenter__(self) -> Profile:
        return self._begin(sys._getframe(1).f_lineno)

    async def __aexit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.__exit__(kind, *error)

    def _begin(self, line: int) -> Profile:
        from txprof import policy, visits
        from txprof.recorded import Recorded
        from txprof.results import Profile
        from txprof.runs import BlockRun
        from txprof.settings import enabled

        name = f"expect {self._rule}:{line}"
        if not enabled():
            self._running.append(None)
            return Profile.of(Recorded([name], 0.0, 0.0, runs=0), self._settings)
        run = BlockRun(name, (), self._settings, scope="process", around=visits.current)
        run.collector.judges_harness = True
        run.expectation = policy.Expectation(self._rule, run.collector)
        policy.expected.append(run.expectation)
        self._running.append(run)
        return run.profile

    def _check(self, profile: Profile) -> None:
        others = []
        for finding in profile.findings:
            if finding.rule == self._rule:
                return
            others.append(f"{finding.rule} at {finding.site.file}:{finding.site.line}")
        statements = sum(query.count for query in profile.queries)
        raise AssertionError(
            f"expected {self._rule}, and there was none; seen: {statements} statements, "
            f"{profile.external_calls} external calls, "
            f"{', '.join(others) if others else 'no findings'}"
        )
