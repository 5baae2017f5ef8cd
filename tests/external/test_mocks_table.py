"""The table of mocks in docs/sensors.md is what the command prints for what is installed here."""

from __future__ import annotations

import pytest
from tooling import tool

mocks = tool("mocks")
WRITTEN = mocks.BLOCK.search(mocks.PAGE.read_text(encoding="utf-8"))[0]


@pytest.mark.parametrize("mock", mocks.MOCKS)
def test_a_mock_shows_and_hides_what_the_table_says(mock: str) -> None:
    clients = mocks.installed(mock)
    if not clients:
        pytest.skip("not installed")
    printed = mocks.table(mocks.run([mock])).splitlines()[2:]
    written = [
        line
        for line in WRITTEN.splitlines()
        if line.startswith(f"| {mock} |") and line.split(" | ")[1] in clients
    ]
    assert printed == written, "run: python tools/mocks.py --write"
    assert len(printed) == len(clients)


def test_every_mock_that_is_written_of_is_one_that_is_tried() -> None:
    written = {line.split(" | ")[0].removeprefix("| ") for line in WRITTEN.splitlines()[3:-1]}
    assert written <= {*mocks.MOCKS}
