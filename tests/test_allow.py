"""What is allowed to break a rule: blocks, decorated functions, comments, settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from helpers import assert_clean, assert_flagged, call, calls_seen, in_transaction, line_of
from sqlalchemy import Engine, text

import txprof
from txprof import comments


def test_allow_lets_one_rule_be_broken_in_a_block(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof, engine.connect() as connection:
        call()  # held
        connection.execute(text("SELECT 1"))
        with txprof.allow("io-in-transaction", reason="one unit"):
            call()
        call()  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert_flagged(prof, "io-while-held", line=line_of("held"), count=1)


def test_allow_of_another_rule_allows_nothing(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof, txprof.allow("io-while-held", reason="x"):
        in_transaction(engine)
    assert_flagged(prof, "io-in-transaction")


def test_allow_decorates_every_kind_of_function(engine: Engine) -> None:
    allow = txprof.allow("io-in-transaction", reason="one unit")

    @allow
    def plain() -> str:
        return in_transaction(engine)

    @allow
    async def coroutine() -> str:
        return in_transaction(engine)

    @allow
    def generator() -> Iterator[str]:
        yield in_transaction(engine)

    @allow
    async def async_generator() -> AsyncIterator[str]:
        yield in_transaction(engine)

    async def consume() -> list[str]:
        return [item async for item in async_generator()]

    with txprof.profile(on_finding="ignore") as prof:
        assert plain() == "billing"
        assert asyncio.run(coroutine()) == "billing"
        assert list(generator()) == ["billing"]
        assert asyncio.run(consume()) == ["billing"]
    assert_clean(prof)
    assert calls_seen(prof) == [("rpc", "billing", 4)]


def test_a_comment_on_the_line_allows(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        call()  # txprof: allow[io-in-transaction] the row and the call are one unit
        call(
            "spread over lines",
        )  # txprof: allow[io-in-transaction, io-while-held] one unit
        call()  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_a_comment_without_reason_or_rule_allows_nothing_and_says_so(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    comments.reason.cache_clear()  # each comment is rejected aloud once a process
    with txprof.profile(on_finding="ignore") as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        call()  # txprof: allow[io-in-transaction]
        call()  # txprof: allow[io-in-transactoin] it is fine
    assert len(prof.findings) == 2
    assert "needs a reason" in caplog.text
    assert "unknown rule 'io-in-transactoin'" in caplog.text


def test_settings_allow_kinds_and_hosts(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore", kinds=["billing"], allow_kinds=["billing"]) as prof:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            with txprof.external_call("billing", "charge"):
                pass
            with txprof.external_call("rpc", "charge"):
                pass
    assert assert_flagged(prof, "io-in-transaction").details["kind"] == "rpc"
