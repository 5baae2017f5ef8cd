"""The table of mocks in docs/sensors.md is what the command prints for what is installed here."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tools"))  # the command itself has it there
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "mocks.py"))
WRITTEN = TOOL["BLOCK"].search((ROOT / "docs" / "sensors.md").read_text(encoding="utf-8"))[0]


@pytest.mark.parametrize("mock", TOOL["MOCKS"])
def test_a_mock_shows_and_hides_what_the_table_says(mock: str) -> None:
    clients = TOOL["installed"](mock)
    if not clients:
        pytest.skip("not installed")
    printed = TOOL["table"](TOOL["run"]([mock])).splitlines()[2:]
    written = [
        line
        for line in WRITTEN.splitlines()
        if line.startswith(f"| {mock} |") and line.split(" | ")[1] in clients
    ]
    assert printed == written, "run: python tools/mocks.py --write"
    assert len(printed) == len(clients)


def test_every_mock_that_is_written_of_is_one_that_is_tried() -> None:
    written = {line.split(" | ")[0].removeprefix("| ") for line in WRITTEN.splitlines()[3:-1]}
    assert written <= {*TOOL["MOCKS"]}
