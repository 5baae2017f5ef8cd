"""The setting `redact`: what it leaves of a text is all that is told, and an error hides it."""

from __future__ import annotations

import logging
import pickle
import sys
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ApiServer, FakeClock, assert_flagged, calls_seen, findings_of
from sqlalchemy import Engine, create_engine, text

import txprof
from txprof.redaction import HIDDEN, KINDS
from txprof.settings import Settings, current

Asked = Counter[tuple[str, str]]

QUERY = "SELECT name FROM product WHERE name = 'Jane Doe'"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Where a text comes from does not depend on the database."""
    return f"sqlite:///{tmp_path / 'test.db'}"


def numbers(kind: str, text: str) -> str:
    """A user's function: ids out of paths, names out of statements, folders out of URLs."""
    if kind == "target":
        return "".join("#" if character.isdigit() else character for character in text)
    if kind == "statement":
        return text.replace("Jane Doe", "?")
    return text.rpartition("/")[2]


def order(
    engine: Engine, number: int, times: int = 1, wait: Callable[[], None] = lambda: None
) -> None:
    with engine.begin() as connection:
        for _ in range(times):
            connection.execute(text(QUERY))
        connection.execute(text("UPDATE product SET name = 'Jane Doe' WHERE id = 1"))
        with txprof.external_call("rpc", f"orders/{number}"):
            wait()


def told(prof: txprof.Profile, folder: Path) -> str:
    prof.save(folder / "one.txprof")
    return (
        f"{prof.findings}{prof.to_dict()}{prof.render()}{prof.recorded}{prof.exemplars}"
        f"{(folder / 'one.txprof').read_text()}"
    )


def test_what_it_leaves_is_what_is_told_everywhere(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, fake: FakeClock
) -> None:
    folder = str(engine.url.database).rpartition("/")[0]
    with txprof.profile(redact=numbers, idle_ms=0, long_transaction_ms=0) as prof:
        order(engine, 41, times=6, wait=lambda: fake.tick(1.0))
    said = told(prof, tmp_path) + caplog.text
    assert "orders/##" in said
    assert "name = '?'" in said
    assert "orders/41" not in said
    assert "Jane Doe" not in said
    assert f"sqlite:///{folder}" not in said
    assert [pool.engine for pool in prof.pools] == ["test.db"]
    rules = {finding.rule for finding in prof.findings}
    assert rules >= {"io-in-transaction", "n-plus-one", "idle-in-transaction", "long-transaction"}


def test_targets_that_become_the_same_are_one(engine: Engine) -> None:
    with txprof.profile(redact=numbers, on_finding="ignore") as prof:
        for number in range(10, 15):
            order(engine, number)
    assert calls_seen(prof) == [("rpc", "orders/##", 5)]
    assert_flagged(prof, "io-in-transaction", count=5)


def test_statements_and_engines_that_become_the_same_are_added_up(engine: Engine) -> None:
    others = create_engine(engine.url.update_query_dict({"timeout": "7"}))
    with txprof.profile(redact=lambda kind, _: f"a {kind}", on_finding="ignore") as prof:
        for one in (engine, others):
            with one.connect() as connection:
                for number in range(3):
                    connection.execute(text(f"SELECT {number}"))
    others.dispose()
    (row,) = prof.recorded.statements
    assert (row.statement, row.count) == ("a statement", 6)
    (pool,) = prof.pools
    assert (pool.engine, pool.checkouts) == ("a engine", 2)


def test_it_does_not_change_what_is_a_burst(engine: Engine) -> None:
    with txprof.profile(redact=lambda *_: None, on_finding="ignore") as prof:
        order(engine, 1, times=6)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    (burst,) = findings_of(prof, "n-plus-one")
    assert burst.count == 6
    assert burst.details["statement"] == HIDDEN


def test_it_is_asked_once_for_each_text(engine: Engine) -> None:
    asked: Asked = Counter()

    def redact(kind: str, text: str) -> str:
        asked[kind, text] += 1
        return text

    with txprof.profile(redact=redact, on_finding="ignore") as prof:
        for number in (1, 2, 1, 2):
            order(engine, number)
        for _ in range(2):
            assert prof.findings
            assert prof.exemplars
    with txprof.profile(redact=redact, on_finding="ignore"):
        order(engine, 1)
    assert set(asked.values()) == {1}
    assert {kind for kind, _ in asked} == set(KINDS)
    assert asked["target", "orders/1"] == asked["statement", QUERY] == 1


def test_each_profile_has_its_own(engine: Engine) -> None:
    with txprof.profile(redact=lambda *_: "one", on_finding="ignore") as one:
        with txprof.profile(redact=lambda *_: "two", on_finding="ignore") as two:
            with txprof.profile(on_finding="ignore") as plain:
                order(engine, 3)
    for prof, target in ((one, "one"), (two, "two"), (plain, "orders/3")):
        assert calls_seen(prof) == [("rpc", target, 1)]
        assert [call.target for call in prof.exemplars[0].external_calls] == [target]


@pytest.mark.parametrize("action", ["raise", "call"])
def test_an_error_and_a_callable_are_told_what_it_leaves(engine: Engine, action: str) -> None:
    texts: list[str] = []

    def tell(finding: txprof.Finding) -> None:
        texts.append(repr(finding))

    on_finding: Any = tell if action == "call" else "raise"
    with txprof.profile(redact=numbers, on_finding=on_finding):
        if action == "call":
            order(engine, 7)
        else:
            with pytest.raises(txprof.TransactionHygieneError) as raised:
                with pytest.warns(txprof.TransactionHygieneWarning, match="orders/#"):
                    order(engine, 7)
            texts.append(f"{raised.value}{pickle.loads(pickle.dumps(raised.value))!r}")
    said = "".join(texts)
    assert "orders/#" in said
    assert "orders/7" not in said
    assert "Jane Doe" not in said


def test_a_predicate_is_asked_of_the_call_as_it_is(engine: Engine) -> None:
    with (
        txprof.allow_if(lambda call: call.target == "orders/5"),
        txprof.profile(redact=numbers, on_finding="ignore") as prof,
    ):
        order(engine, 5)
        order(engine, 6)
    assert_flagged(prof, "io-in-transaction", count=1)


# --- what cannot answer hides -------------------------------------------------------------------


def fails(_kind: str, text: str) -> str:
    raise LookupError(text)


def no_text(_kind: str, text: str) -> Any:
    return text.encode()


@pytest.mark.parametrize("redact", [fails, no_text, "no_such_module:redact", "txprof:no_such"])
def test_one_that_fails_hides_every_text_and_is_warned_of_once(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, redact: Any
) -> None:
    from txprof import redaction

    redaction._redactor.cache_clear()  # it knows that it warned
    with txprof.profile(redact=redact, on_finding="ignore") as prof:
        order(engine, 41, times=6)
    said = told(prof, tmp_path) + caplog.text
    assert "orders/41" not in said
    assert "Jane Doe" not in said
    assert calls_seen(prof) == [("rpc", HIDDEN, 1)]
    (record,) = [record for record in caplog.records if "redact" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert record.exc_info is None


@pytest.mark.parametrize("answer", [None, ""])
def test_no_text_is_hidden(engine: Engine, answer: str | None) -> None:
    with txprof.profile(redact=lambda *_: answer, on_finding="ignore") as prof:
        order(engine, 1)
    assert calls_seen(prof) == [("rpc", HIDDEN, 1)]


def test_one_that_calls_out_itself_is_not_asked_of_that(engine: Engine, api: ApiServer) -> None:
    import requests

    def asks_a_service(_kind: str, text: str) -> str:
        return requests.get(api.url(), timeout=5).text

    with txprof.profile(redact=asks_a_service, on_finding="ignore") as prof:
        order(engine, 1)
    assert calls_seen(prof) == [("rpc", "ok", 1)]


# --- where it is said ---------------------------------------------------------------------------


def test_a_function_is_named_in_the_settings(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("of_the_users_own")
    module.redact = numbers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "of_the_users_own", module)
    monkeypatch.setenv("TXPROF_REDACT", "of_the_users_own:redact")
    assert current().redact == "of_the_users_own:redact"
    with txprof.profile(on_finding="ignore") as prof:
        order(engine, 41)
    assert calls_seen(prof) == [("rpc", "orders/##", 1)]


@pytest.mark.parametrize(
    ("value", "error"), [("privacy", ValueError), ("a b:c", ValueError), (7, TypeError)]
)
def test_what_names_no_function_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="redact must be 'module:function', or a function of"):
        Settings(redact=value)


def test_a_callable_that_cannot_be_hashed_will_do(engine: Engine) -> None:
    class Redacts:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, kind: str, text: str) -> str:
            return kind

    redact: Callable[[str, str], str] = Redacts()
    with txprof.profile(redact=redact, on_finding="ignore") as prof:
        order(engine, 1)
    assert calls_seen(prof) == [("rpc", "target", 1)]
