"""idle-in-transaction and long-transaction: which lines, how long, and what explains it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock, assert_clean, assert_flagged, findings_of, line_of
from products import Product
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import txprof
from txprof.locked import Lock, all_locks
from txprof.model import Site


@pytest.fixture
def patience() -> None:
    """Here the thresholds of the rules about time are their own."""


def rules_of(prof: txprof.Profile) -> set[str]:
    return {finding.rule for finding in prof.findings}


def test_a_transaction_that_sits_for_100_ms_is_idle(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))  # before
        fake.tick(0.1)
        connection.execute(text("SELECT 2"))  # after
    finding = assert_flagged(prof, "idle-in-transaction", line=line_of("after"), count=1)
    assert finding.severity == "warning"
    assert finding.seconds == pytest.approx(0.1)
    assert finding.details["before"].line == line_of("before")
    assert finding.details["external_seconds"] == 0
    assert "external calls explain 0.00 s" in finding.message


def test_99_ms_are_none(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        fake.tick(0.099)
        connection.execute(text("SELECT 2"))
    assert_clean(prof)


def test_the_time_of_a_statement_is_not_idle(
    make_engine: Callable[..., Engine], fake: FakeClock
) -> None:
    engine = make_engine()
    execute = engine.dialect.do_execute

    def slow(*args: Any) -> None:
        fake.tick(0.3)
        execute(*args)

    engine.dialect.do_execute = slow  # type: ignore[method-assign]
    with txprof.profile() as prof, engine.begin() as connection:
        for _ in range(3):
            connection.execute(text("SELECT 1"))
    assert rules_of(prof) == set()
    with txprof.profile(long_transaction_ms=500) as prof, engine.begin() as connection:
        for _ in range(3):
            connection.execute(text("SELECT 1"))
    finding = assert_flagged(prof, "long-transaction")
    assert finding.details["statement_seconds"] == pytest.approx(0.9)


def test_the_wait_before_the_commit_counts(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof:
        with engine.begin() as connection:  # block
            connection.execute(text("SELECT 1"))
            fake.tick(0.5)
    finding = assert_flagged(prof, "idle-in-transaction", line=line_of("block"))
    assert finding.seconds == pytest.approx(0.5)


def test_what_is_held_without_a_transaction_is_not_idle(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof, engine.connect() as connection:
        fake.tick(5)
        connection.execute(text("SELECT 1"))
        connection.commit()
        fake.tick(5)
    assert_clean(prof)


def test_an_external_call_explains_it_and_is_the_site(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        fake.tick(0.1)
        with txprof.external_call("rpc", "billing"):  # call
            fake.tick(0.9)
        connection.execute(text("SELECT 2"))
    assert rules_of(prof) == {"io-in-transaction", "idle-in-transaction", "long-transaction"}
    (finding,) = [each for each in prof.findings if each.rule == "idle-in-transaction"]
    assert finding.site.line == line_of("call")
    assert finding.details["external_seconds"] == pytest.approx(0.9)
    assert finding.details["unexplained_seconds"] == pytest.approx(0.1)


def test_what_an_allowed_call_takes_is_not_idle(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.allow("io-in-transaction", reason="must be atomic"):
            with txprof.external_call("rpc", "billing"):
                fake.tick(0.9)
        connection.execute(text("SELECT 2"))
    assert_clean(prof)


def test_a_profiled_functions_slowest_line_is_the_site(engine: Engine) -> None:
    def work() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            number = 1
            threading.Event().wait(0.15)  # slow
            number += 1
            connection.execute(text("SELECT 2"))

    with txprof.profile(work) as prof:
        work()
    assert_flagged(prof, "idle-in-transaction", line=line_of("slow"), count=1)


def test_a_second_without_end_is_long(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile(idle_ms=10_000) as prof:
        with engine.begin() as connection:  # open
            connection.execute(text("SELECT 1"))
            for _ in range(4):
                fake.tick(0.25)
                connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
    finding = assert_flagged(prof, "long-transaction", line=line_of("open"), count=1)
    assert finding.details["locked_tables"] == ["product"]
    assert "wrote or locked rows of product" in finding.message
    assert finding.seconds == pytest.approx(1.0)


def test_a_transaction_that_locks_and_sits_says_what_stays_locked(
    engine: Engine, fake: FakeClock
) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT id FROM product"))
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        fake.tick(0.2)
        connection.execute(text("SELECT 2"))
    finding = assert_flagged(prof, "idle-in-transaction")
    assert "; product stays locked for 0.2 s" in finding.message


def test_each_locked_table_has_the_statement_and_line_that_first_locked_it(
    engine: Engine, fake: FakeClock, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE bin (id INTEGER PRIMARY KEY)"))
    first, again = "DELETE FROM product WHERE id = 3", "UPDATE product SET name = 'x'"
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text(first))  # deletes
        connection.execute(text(again))
        connection.execute(text("INSERT INTO bin VALUES (1)"))  # inserts
        fake.tick(2)
    expected = [
        {"table": "bin", "site": line_of("inserts"), "statement": "INSERT INTO bin VALUES (1)"},
        {"table": "product", "site": line_of("deletes"), "statement": first},
    ]
    prof.save(tmp_path / "run.txprof")
    loaded = txprof.load(tmp_path / "run.txprof")
    for one in (prof, loaded, txprof.merge(loaded, prof)):
        for rule in ("idle-in-transaction", "long-transaction"):
            locks = assert_flagged(one, rule).details["locks"]
            assert [{**lock, "site": lock["site"].line} for lock in locks] == expected
    (idle,) = findings_of(prof, "idle-in-transaction")
    assert "; bin, product stay locked for 2.0 s" in idle.message


def test_locks_merge_to_the_same_ones_in_any_order() -> None:
    locks = [
        (Lock("a", Site("f.py", 2, "f"), "DELETE FROM a"), Lock("b", None, "DELETE FROM b")),
        (Lock("a", None, "UPDATE a SET x = 1"),),
        (Lock("a", Site("f.py", 1, "f"), "INSERT INTO a VALUES (1)"),),
    ]
    merged = {all_locks(all_locks(*some[:2]), *some[2:]) for some in itertools.permutations(locks)}
    assert merged == {(locks[1][0], locks[0][1])}


def test_what_the_statement_locks_that_ends_the_wait_was_not_locked_meanwhile(
    engine: Engine, fake: FakeClock
) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        fake.tick(0.2)
        connection.execute(text("UPDATE product SET name = 'two' WHERE id = 1"))
        connection.execute(text("SELECT 2"))
    finding = assert_flagged(prof, "idle-in-transaction", count=1)
    assert finding.details["locked_tables"] == []
    assert "stays locked" not in finding.message


def rename(connection: Any) -> None:
    connection.execute(text("UPDATE product SET name = 'two' WHERE id = 1"))


def test_the_line_that_locks_is_that_of_the_function_which_opened(
    engine: Engine, fake: FakeClock
) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        rename(connection)  # locks
        fake.tick(0.2)
        connection.execute(text("SELECT 2"))
    (lock,) = assert_flagged(prof, "idle-in-transaction").details["locks"]
    assert (lock["table"], lock["site"].line) == ("product", line_of("locks"))


def test_thresholds_are_settings(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile(idle_ms=300, long_transaction_ms=300) as prof:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            fake.tick(0.2)
            connection.execute(text("SELECT 2"))
    assert_clean(prof)


@pytest.mark.parametrize("rule", ["idle-in-transaction", "long-transaction"])
def test_each_may_be_allowed(engine: Engine, fake: FakeClock, rule: str) -> None:
    with txprof.profile() as prof, txprof.allow(rule, reason="a report at night"):
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            fake.tick(2)
            connection.execute(text("SELECT 2"))
    assert rules_of(prof) == {"idle-in-transaction", "long-transaction"} - {rule}


def test_each_may_be_switched_off_or_weigh_otherwise(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile(
        disable=["long-transaction"], severity=["idle-in-transaction=error"]
    ) as prof:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            fake.tick(2)
            connection.execute(text("SELECT 2"))
    assert assert_flagged(prof, "idle-in-transaction").severity == "error"


def test_they_are_saved_and_merged(engine: Engine, fake: FakeClock, tmp_path: Path) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        fake.tick(2)
        connection.execute(text("SELECT 2"))
    prof.save(tmp_path / "a.txprof")
    loaded = txprof.load(tmp_path / "a.txprof")
    assert [finding.rule for finding in loaded.findings] == [f.rule for f in prof.findings]
    merged = txprof.merge(loaded, loaded)
    assert [(f.rule, f.count) for f in merged.findings] == [(f.rule, 2) for f in prof.findings]


def test_an_attribute_read_after_the_commit_opens_the_transaction_that_sits(
    engine: Engine, fake: FakeClock
) -> None:
    with Session(engine) as session:
        product = session.get(Product, 1)
        assert product is not None
        with txprof.profile(long_transaction_ms=1e6) as prof:
            session.commit()
            assert product.name == "one"  # read
            with txprof.external_call("storage", "s3.PutObject images"):  # call
                fake.tick(60)
            session.rollback()
    by_rule = {finding.rule: finding for finding in prof.findings}
    assert set(by_rule) == {"io-in-transaction", "idle-in-transaction"}
    assert by_rule["io-in-transaction"].site.line == line_of("call")
    assert by_rule["io-in-transaction"].details["transaction_site"].line == line_of("read")
