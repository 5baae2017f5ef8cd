"""Beside OpenTelemetry, Sentry and ddtrace, whoever comes first: each sees every call, once."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import peers
import pytest
from helpers import ApiServer

pytestmark = pytest.mark.timeout(660)  # each tool's process has 600 s

TOOLS = {"opentelemetry": "opentelemetry.instrumentation.requests", "sentry_sdk": "sentry_sdk"}
TOOLS["ddtrace"] = "ddtrace"

Seen = dict[str, list[dict[str, Any]]]


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


@pytest.fixture(scope="module", params=TOOLS)
def seen(request: pytest.FixtureRequest, api: ApiServer) -> Seen:
    """By order, what was seen after each step, of one tool."""
    tool: str = request.param
    if not is_installed(TOOLS[tool]):
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run(
        [sys.executable, str(Path(peers.__file__)), tool, api.url("")],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found: Seen = json.loads(done.stdout.splitlines()[-1])
    return found


CALLS = sorted(
    [
        *([f"GET /{name.replace(' ', '-')}", 1] for name in peers.CALLS),
        ["redis SET", 1],
        ["s3.PutObject images", 1],
        ["GET http://127.0.0.1:1/refused", 1],
    ]
)
CALLS = [call for call in CALLS if call[0] not in ("GET /redis", "GET /botocore", "GET /refused")]
ANSWERS = dict.fromkeys(peers.CALLS, "ok") | {"refused": "ConnectionError"}

ORDERS = [order for order in peers.ORDERS if order != "the peer alone"]


@pytest.mark.parametrize("order", ORDERS)
def test_the_program_returns_and_raises_the_same_throughout(seen: Seen, order: str) -> None:
    assert [step["answers"] for step in seen[order]] == [ANSWERS] * len(seen[order])


@pytest.mark.parametrize("order", ORDERS)
def test_each_call_is_seen_once_while_we_watch(seen: Seen, order: str) -> None:
    watching = False
    for step in seen[order]:
        watching = step["step"] == "ours on" or (watching and step["step"] != "ours off")
        assert step["calls"] == (CALLS if watching else None), step["step"]
        assert step["statements"] == (1 if watching else None)
        assert step["findings"] == (len(CALLS) if watching else None)


@pytest.mark.parametrize("order", ORDERS)
def test_the_other_sees_what_it_sees_without_us(seen: Seen, order: str) -> None:
    (alone,) = seen["the peer alone"]
    assert alone["spans"]
    watching = False
    for step in seen[order]:
        watching = step["step"] == "peer on" or (watching and step["step"] != "peer off")
        if watching or order.startswith("ours first"):
            assert step["spans"] == (alone["spans"] if watching else []), step["step"]
        else:
            # One that takes itself off by hand takes the topmost wrap off: ours, which is put back
            # on by the next profile. What it goes on to see, it sees once.
            assert not Counter(step["spans"]) - Counter(alone["spans"]), step["step"]
