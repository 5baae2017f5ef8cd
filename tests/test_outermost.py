"""What is watched may be the outermost function of a greenlet or of a thread: nobody called it.

`AsyncEngine.raw_connection` runs the engine's method so; `_thread.start_new_thread` runs anything.
"""

from __future__ import annotations

import _thread
import asyncio
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import greenlet
from helpers import ApiServer, eventually, findings_of, line_of
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import txprof


def in_greenlet(function: Callable[..., Any], *args: Any) -> Any:
    """As SQLAlchemy does for asyncio: in the context of who switches to it."""
    new = greenlet.greenlet(function)
    new.gr_context = greenlet.getcurrent().gr_context
    return new.switch(*args)


def rules_of(prof: txprof.Profile) -> list[tuple[str, str]]:
    return sorted({(finding.rule, finding.details["target"]) for finding in prof.findings})


def test_a_second_raw_connection_of_an_async_engine(tmp_path: Path) -> None:
    async def program() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", pool_size=2)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            raw = await engine.raw_connection()
            raw.close()
        await engine.dispose()

    with txprof.profile(on_finding="ignore") as prof:
        asyncio.run(program())
    (finding,) = prof.findings
    assert finding.rule == "nested-checkout"
    assert finding.site.function.endswith("program")


def test_a_sleep_in_a_greenlet() -> None:
    with txprof.profile(on_finding="ignore") as prof:
        in_greenlet(time.sleep, 0.001)
    assert prof.external_calls == 1


def test_a_sleep_in_a_thread_without_a_frame_of_pythons_own() -> None:
    failed: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, failed.append
    try:
        with txprof.profile(on_finding="ignore") as prof:
            _thread.start_new_thread(time.sleep, (0.001,))
            eventually(lambda: prof.external_calls or failed)
    finally:
        sys.unraisablehook = hook
    assert failed == []
    assert prof.external_calls == 1


def test_external_calls_of_a_greenlet_belong_to_the_line_that_switches_to_it(
    engine: Engine, api: ApiServer
) -> None:
    with txprof.profile(on_finding="ignore") as prof, engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        in_greenlet(urllib.request.urlopen, api.url()).close()  # urlopen
        in_greenlet(subprocess.Popen, [sys.executable, "-c", ""]).wait()  # Popen
    lines = {finding.site.line for finding in findings_of(prof, "io-in-transaction")}
    assert lines == {line_of("urlopen"), line_of("Popen")}


def test_a_transaction(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        connection = in_greenlet(engine.connect)
        transaction = in_greenlet(connection.begin)
        in_greenlet(connection.execute, text("SELECT 1"))
        with txprof.external_call("rpc", "first"):
            pass
        in_greenlet(transaction.commit)
        with txprof.external_call("rpc", "second"):
            pass
        in_greenlet(connection.close)
    assert rules_of(prof) == [("io-in-transaction", "first"), ("io-while-held", "second")]


def test_the_methods_of_a_dialect(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        fairy = engine.raw_connection()
        cursor = fairy.cursor()
        dialect = engine.dialect
        in_greenlet(dialect.do_begin, fairy)
        with txprof.external_call("rpc", "first"):
            pass
        in_greenlet(dialect.do_execute, cursor, "SELECT 1", ())
        in_greenlet(dialect.do_commit, fairy)
        in_greenlet(dialect.do_rollback, fairy)
        cursor.close()
        fairy.close()
    assert rules_of(prof) == [("io-in-transaction", "first")]


def test_threads_and_pools_of_them(engine: Engine) -> None:
    ran = []
    with txprof.profile(on_finding="ignore"), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        thread = threading.Thread(target=ran.append, args=("thread",))
        in_greenlet(thread.start)
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            in_greenlet(pool.submit, ran.append, "pool").result()
    assert ran == ["thread", "pool"]
