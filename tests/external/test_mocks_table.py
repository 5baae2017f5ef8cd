"""The table of mocks in docs/sensors.md is what the command prints for what is installed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tooling import tool

mocks = tool("mocks")
WRITTEN = mocks.written(mocks.PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("mock", mocks.MOCKS)
def test_a_mock_shows_and_hides_what_the_table_says(mock: str) -> None:
    clients = mocks.installed(mock)
    if not clients:
        pytest.skip("not installed")
    printed = mocks.rows(mocks.run([mock]))
    assert list(printed) == [(mock, client) for client in clients]
    assert printed.items() <= WRITTEN.items(), "run: python tools/mocks.py --write"


def test_every_call_that_is_written_of_is_one_that_is_tried() -> None:
    tried = {(mock, client) for mock, mocked in mocks.MOCKS.items() for client in mocked.clients}
    assert WRITTEN.keys() <= tried


def test_writing_leaves_the_rows_of_what_is_not_installed_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "sensors.md"
    page.write_text(f"before\n{mocks.START}\n{mocks.table(WRITTEN)}\n{mocks.END}\nafter\n")
    before = page.read_text()
    other = mocks.Seen("respx", "httpx", (("GET /new",), ()))
    monkeypatch.setattr(mocks.pages, "ROOT", tmp_path)
    monkeypatch.setattr(mocks, "PAGE", page)
    monkeypatch.setattr(mocks, "run", lambda names: [other])
    monkeypatch.setattr("sys.argv", ["mocks.py", "--write"])
    assert mocks.main() == 0
    (row,) = mocks.rows([other]).values()
    assert page.read_text() == before.replace(WRITTEN["respx", "httpx"], row)
    told = capsys.readouterr().err
    assert "not installed here, and left as it was: httpretty, http.client\n" in told
    assert "respx, httpx\n" not in told
