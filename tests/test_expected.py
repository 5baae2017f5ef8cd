"""A finding that is expected: the block fails where it does not come, and nobody else is told."""

from __future__ import annotations

import asyncio

import pytest
from helpers import assert_clean, assert_flagged, call, findings_of
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import txprof


def process(session: Session) -> None:
    session.execute(text("SELECT 1"))
    call()
    session.commit()


def test_others_are_not_told_of_what_is_expected(engine: Engine) -> None:
    with Session(engine) as session, txprof.profile(on_finding="ignore") as prof:
        with txprof.expect("io-in-transaction") as inner:
            process(session)
        assert len(findings_of(inner, "io-in-transaction")) == 1
        assert_clean(prof)
        process(session)
    assert_flagged(prof, "io-in-transaction", count=1)


def test_without_a_harness_and_in_asyncio(engine: Engine) -> None:
    async def main() -> None:
        async with txprof.expect("io-in-transaction"):
            process(session)

    with Session(engine) as session:
        asyncio.run(main())
        with txprof.expect("n-plus-one"):
            for number in range(7):
                session.scalar(text("SELECT :number"), {"number": number})


def test_one_that_does_not_come_fails(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(AssertionError) as caught:
        with txprof.expect("n-plus-one"):
            process(session)
    assert "expected n-plus-one" in str(caught.value)
    assert "1 statements, 1 external calls, io-in-transaction at" in str(caught.value)


def test_the_blocks_own_error_wins() -> None:
    with pytest.raises(KeyError), txprof.expect("n-plus-one"):
        raise KeyError


def test_a_leak_and_a_timeout_that_are_expected(engine: Engine) -> None:
    held = []
    with txprof.profile(on_finding="ignore") as prof:
        with txprof.expect("connection-leak"):
            held.append(engine.connect())
        with txprof.expect("pool-timeout"):
            held += [engine.connect() for _ in range(4)]
            with pytest.raises(Exception, match="QueuePool limit"):
                engine.connect()
        for connection in held:
            connection.close()
    assert findings_of(prof, "connection-leak") == findings_of(prof, "pool-timeout") == []


def test_bad_input_is_told() -> None:
    with pytest.raises(ValueError, match="did you mean 'n-plus-one'"):
        txprof.expect("n-plus-on")
    with pytest.raises(TypeError, match="unknown setting"):
        txprof.expect("n-plus-one", on_findings="log")
