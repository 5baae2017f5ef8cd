"""The one thing that all the rest is about."""

from __future__ import annotations

import subprocess
import sys

import requests
from helpers import ApiServer, assert_flagged, line_of
from sqlalchemy import Engine, text

import txprof


def test_it_sees_a_call_in_a_transaction(engine: Engine, api: ApiServer) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        requests.get(api.url(), timeout=5)  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def imported_with(module: str) -> set[str]:
    """The modules that there are when a fresh interpreter has imported this one."""
    program = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    return set(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    )


def test_an_import_of_it_brings_little_along() -> None:
    """Every program that decorates a function pays for it, also where TXPROF=0."""
    imported = imported_with("txprof")
    ours = {name for name in imported if name.partition(".")[0] == "txprof"}
    assert ours == {
        "txprof",
        "txprof.api",
        "txprof.errors",
        "txprof.harness",
        "txprof.model",
        "txprof.profiling",
        "txprof.results",
    }
    slow = {"dataclasses", "enum", "inspect", "json", "logging", "pathlib", "re", "tomllib"}
    assert not slow.intersection(imported - imported_with("typing"))  # of 3.11, which needs `re`
