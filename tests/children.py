"""Programs that tests start and talk to: none outlives its test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from helpers import PATIENCE, calls_seen

import txprof

JOBS = """
import os
from sqlalchemy import create_engine, text
import txprof

def work(name):
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", name):
            pass
    engine.dispose()
    return name
"""
"""The source of a module whose `work` calls something in a transaction."""


@contextmanager
def child(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that ends with the block.

    It has PATIENCE seconds to end by itself; if it does not, or if the block fails, it is killed
    with all that it started. It is the leader of a session, so Ctrl-C at the tests is not its own.
    """
    with subprocess.Popen(command, text=True, start_new_session=True, **options) as process:
        try:
            yield process
            process.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def rpc_calls(profile: txprof.Profile) -> dict[str, int]:
    """How many calls of `work` are in it, by name."""
    return {target: count for kind, target, count in calls_seen(profile) if kind == "rpc"}


def assert_one_line_error(done: subprocess.CompletedProcess[str], *expected: str) -> None:
    """It failed as a command does that is used wrongly, and said this in one line."""
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("txprof: error: ")
    assert done.stderr.count("\n") == 1
    for part in expected:
        assert part in done.stderr
