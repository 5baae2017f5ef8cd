"""How much an external call weighs: by its rule, its kind, and what the settings say."""

from __future__ import annotations

import pytest
from helpers import assert_flagged
from sqlalchemy import Engine, text

import txprof


def flagged(engine: Engine, kind: str, rule: str = "io-in-transaction", *severity: str) -> str:
    """The severity of one call of that kind, in a transaction or merely held."""
    with txprof.profile(on_finding="ignore", severity=severity) as prof, engine.connect() as held:
        if rule == "io-in-transaction":
            held.execute(text("SELECT 1"))
        with txprof.external_call(kind, "somewhere"):
            pass
    return assert_flagged(prof, rule).severity


@pytest.mark.parametrize(
    ("kind", "severity"),
    [("http", "error"), ("queue", "error"), ("cache", "warning"), ("sleep", "warning")],
)
def test_cache_and_sleep_in_a_transaction_are_warnings(
    engine: Engine, kind: str, severity: str
) -> None:
    assert flagged(engine, kind) == severity
    assert flagged(engine, kind, "io-while-held") == "warning"


def test_the_settings_weigh_one_kind_of_one_rule(engine: Engine) -> None:
    choice = "io-in-transaction:cache=info"
    assert flagged(engine, "cache", "io-in-transaction", choice) == "info"
    assert flagged(engine, "http", "io-in-transaction", choice) == "error"
    assert flagged(engine, "cache", "io-while-held", choice) == "warning"


def test_a_kind_beats_its_rule_in_whatever_order(engine: Engine) -> None:
    choices = ("io-in-transaction:cache=info", "io-in-transaction=warning")
    for severity in (choices, choices[::-1]):
        assert flagged(engine, "cache", "io-in-transaction", *severity) == "info"
        assert flagged(engine, "mail", "io-in-transaction", *severity) == "warning"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("io-in-transaction:cache", "'rule:kind=severity'"),
        ("io-in-transaction:=info", "unknown kind ''"),
        ("io-in-transaction:Ca che=info", "unknown kind 'Ca che'"),
        ("io-in-transactions:cache=info", "did you mean 'io-in-transaction'"),
    ],
)
def test_what_is_no_such_choice_says_so(choice: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        txprof.profile(severity=[choice])
