"""Line times where greenlets switch in the middle of a line: SQLAlchemy's, and gevent's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import line_of, lines_of
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.util import await_only

import txprof

TASKS, SECONDS = 20, 0.02


def read(session: Any, number: int) -> int:
    """Runs in a greenlet (`run_sync`), which the event loop leaves and enters at each await."""
    total = 0
    for _ in range(3):
        total += session.execute(text("SELECT 1")).scalar_one()
        await_only(asyncio.sleep(SECONDS))
    return total * number


def test_a_function_under_run_sync_is_timed_in_every_task(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}", pool_size=TASKS)

    async def one(number: int) -> int:
        async with AsyncSession(engine) as session:
            return await session.run_sync(read, number)

    async def main() -> list[int]:
        found = await asyncio.gather(*(one(number) for number in range(TASKS)))
        await engine.dispose()
        return found

    with txprof.profile(read) as prof:
        assert asyncio.run(main()) == [3 * number for number in range(TASKS)]
    (function,) = prof.functions
    assert function.calls == TASKS
    first = function.site.line
    hits = {number - first: line.hits for number, line in lines_of(prof, "read").items()}
    assert hits == {2: TASKS, 3: 4 * TASKS, 4: 3 * TASKS, 5: 3 * TASKS, 6: TASKS}
    waited = function.lines[first + 5]  # the one that awaits
    assert waited.seconds >= 3 * TASKS * SECONDS
    assert waited.transaction_seconds == pytest.approx(waited.seconds, rel=0.02)


def test_a_plain_function_that_calls_the_event_loop_is_timed_around_it(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")

    async def one() -> int:
        async with AsyncSession(engine) as session:
            found = await session.run_sync(read, 1)
        await engine.dispose()
        return found

    def main() -> int:
        found = asyncio.run(one())  # loop
        found += 1  # after
        return found

    with txprof.profile(main, read) as prof:
        assert main() == 4
    assert lines_of(prof, "main")[line_of("after")].hits == 1
    assert lines_of(prof, "main")[line_of("loop")].seconds >= 3 * SECONDS
    assert sorted(line.hits for line in lines_of(prof, "read").values()) == [1, 1, 3, 3, 4]


GEVENT = """
from gevent import monkey
if not LATE: monkey.patch_all()
import txprof
if LATE:
    import txprof.runs
    monkey.patch_all()

import gevent, json, sys, threading, urllib.request
from gevent.pywsgi import WSGIServer
from sqlalchemy import create_engine, text

def application(environ, start):
    gevent.sleep(0.02)
    start("200 OK", [])
    return [b"ok"]

server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
url = f"http://127.0.0.1:{server.server_port}/v1"
engine = create_engine(DATABASE, pool_size=20)

def process(number):
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        urllib.request.urlopen(url).read()
    gevent.sleep(0.02)
    return number + 1

def steps(number):
    for step in range(number):
        gevent.sleep(0.02 * (1 + step % 3))
        yield step

def unprofiled(number):
    return process(number) + len(list(steps(number % 4)))

with txprof.profile(process, steps, on_finding="ignore") as prof:
    jobs = [gevent.spawn(unprofiled, number) for number in range(20)]
    gevent.joinall(jobs)
    here = process(100)
print(json.dumps({
    "values": [job.value for job in jobs] + [here],
    "profile": prof.to_dict(),
    "threads": len(prof._source.__self__._parts._live),
}))
"""


@pytest.mark.parametrize("late", [False, True], ids=["patched first", "patched late"])
def test_a_program_under_gevent_runs_and_is_timed(tmp_path: Path, late: bool) -> None:
    values = f"LATE = {late}\nDATABASE = 'sqlite:///{tmp_path / 'test.db'}'\n"
    program = tmp_path / "program.py"
    program.write_text(values + GEVENT)
    ran = subprocess.run(
        [sys.executable, str(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["values"] == [number + 1 + number % 4 for number in range(20)] + [101]
    assert said["threads"] == 1
    (finding,) = said["profile"]["findings"]
    assert (finding["rule"], finding["count"]) == ("io-in-transaction", 21)
    functions = {each["site"]["function"]: each for each in said["profile"]["functions"]}
    assert [line["hits"] for line in functions["process"]["lines"]] == [42, 21, 21, 21, 21]
    assert [line["hits"] for line in functions["steps"]["lines"]] == [50, 30, 30]
    seconds = [line["seconds"] for line in functions["process"]["lines"]]
    assert seconds[2] >= 21 * 0.02
    assert seconds[3] >= 21 * 0.02
    assert functions["steps"]["lines"][1]["seconds"] >= 30 * 0.02
