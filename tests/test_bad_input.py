"""Bad input is refused at the call, with an error that says what is allowed."""

from __future__ import annotations

from typing import Any

import pytest
import watched
from helpers import call

import txprof

MODULE = watched.__name__
"""One that is imported: of others `watch` waits to see what is in them."""


class NotCallable:
    pass


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: txprof.profile(42), TypeError, "cannot profile 42: expected a Python"),
        (
            lambda: txprof.profile("work"),
            ValueError,
            "'work': a function's name is 'module:function'",
        ),
        (lambda: txprof.profile("app.py:work"), ValueError, "not with its file: 'app:work'"),
        (lambda: txprof.profile(None), TypeError, "cannot profile None"),
        (lambda: txprof.profile(NotCallable()), TypeError, "NotCallable"),
        (lambda: txprof.profile(len), TypeError, "expected a Python function"),
        (lambda: txprof.profile(call, 42), TypeError, "cannot profile 42"),
        (lambda: txprof.profile()(42), TypeError, "cannot profile 42"),
        (lambda: txprof.profile(scope="here"), ValueError, "'process' or 'context', not 'here'"),
        (lambda: txprof.profile(name=3), TypeError, "name must be a string, not 3"),
        (lambda: txprof.profile(on_finding="explode"), ValueError, "'log', 'raise', 'ignore' or"),
        (lambda: txprof.profile(on_finding=3), TypeError, "not 3"),
        (lambda: txprof.profile(report="never"), ValueError, "'exit', 'call' or None"),
        (lambda: txprof.profile(critical="1"), TypeError, "did you mean 'critical_ms'"),
        (lambda: txprof.profile(critical_ms="1"), TypeError, "critical_ms must be a number"),
        (lambda: txprof.profile(critical_ms=-1), ValueError, "0 or more"),
        (lambda: txprof.profile(context_lines=1.5), TypeError, "whole number"),
        (lambda: txprof.profile(allow_kinds="cache"), TypeError, "list of strings"),
        (lambda: txprof.profile(allow_kinds=["cahce"]), ValueError, "unknown kind 'cahce'"),
        (lambda: txprof.profile(disable=["n+1"]), ValueError, "unknown rule 'n+1'"),
        (lambda: txprof.profile(severity=["n-plus-one=bad"]), ValueError, "rule=severity"),
        (lambda: txprof.profile(severity=["nplus=error"]), ValueError, "did you mean 'n-plus-one'"),
        (lambda: txprof.allow("io", reason="x"), ValueError, "unknown rule 'io'"),
        (lambda: txprof.allow("io-in-transaction", reason=" "), ValueError, "needs a reason"),
        (lambda: txprof.allow(1, reason="x"), TypeError, "rule must be a string, not 1"),
        (lambda: txprof.allow("io-in-transaction", reason=1), TypeError, "reason must be"),
        (lambda: txprof.external_call("HTTP call", "x"), ValueError, "unknown kind 'HTTP call'"),
        (lambda: txprof.external_call(3, "x"), TypeError, "kind must be a string"),
        (lambda: txprof.external_call("rpc", ""), ValueError, "say what is called"),
        (lambda: txprof.external_call("rpc", 3), TypeError, "target must be a string"),
        (lambda: txprof.watch("no-colon", kind="rpc"), ValueError, "expected 'module:attribute'"),
        (lambda: txprof.watch(f"{MODULE}:nothing", kind="rpc"), ValueError, "nothing"),
        (lambda: txprof.watch(f"{MODULE}:CONSTANT", kind="rpc"), TypeError, "not callable"),
        (lambda: txprof.watch(3, kind="rpc"), TypeError, "cannot watch 3"),
        (lambda: txprof.watch(f"{MODULE}:charge", kind="R P C"), ValueError, "unknown kind"),
        (lambda: txprof.merge(), ValueError, "at least one profile"),
        (lambda: txprof.merge("a.txprof"), TypeError, "'a.txprof'"),
        (lambda: txprof.pool_status("engine"), TypeError, "Engine, AsyncEngine or Pool"),
        (lambda: txprof.profile(call, report=None)(call), TypeError, "profiles a `with` block"),
        (lambda: txprof.profile(scope="context")(call), ValueError, "scope is for `with` blocks"),
    ],
)
def test_bad_input_is_refused_at_the_call(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert says in str(caught.value)
