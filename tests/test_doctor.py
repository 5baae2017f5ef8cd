"""`txprof doctor` and docs/sensors.md: what is seen, and what is not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from tooling import tool

import txprof
from txprof import doctor, sensors
from txprof.cli import main
from txprof.sensors.placing import Client, Target


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_it_lists_each_library_with_its_version_and_tries_a_call(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    out = lines(capsys)
    assert out[0].startswith(f"txprof {txprof.__version__}, CPython {sys.version.split()[0]}, SQLA")
    (found,) = [line for line in out if line.startswith("httpx ")]
    assert found.split()[1:6] == [httpx.__version__, "http", "4", "of", "4"]
    assert out[-1] == "a call in a transaction, to try it: seen"
    (compiled,) = [line for line in out if line.startswith("not recognised")]
    assert compiled.startswith("not recognised: confluent_kafka:Producer.produce, ")


def test_every_client_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    out = lines(capsys)
    (absent,) = [line for line in out if line.startswith("not installed: ")] or [""]
    names = {line.partition(" ")[0] for line in out}
    names |= set(absent.removeprefix("not installed: ").split(", "))
    assert {client.name for client in sensors.clients()} <= names


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Client:
    """A library of which we wrap a function that is not there any more."""
    sensors.install()  # of the real ones
    module = ModuleType("changed_client")
    monkeypatch.setitem(sys.modules, "changed_client", module)
    wrapper = sensors.clients()[0].targets[0].wrapper
    target = Target("changed_client", "Client.send", wrapper)
    client = Client("changed_client", "http", "GET https://example.com/ok", (target,))
    monkeypatch.setattr(sensors, "clients", lambda: [client])
    return client


@pytest.mark.usefixtures("changed")
def test_what_a_library_has_no_more_is_named_and_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 1
    out = lines(capsys)
    (named,) = [line for line in out if line.startswith("not recognised")]
    assert "changed_client:Client.send" in named
    assert "0 of 1" in next(line for line in out if line.startswith("changed_client"))


def test_what_cannot_be_wrapped_is_named_and_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sensors.clients()[0]
    client = Client(
        "stand_in", "queue", "stand_in orders", real.targets[:1], ("stand_in:Producer",)
    )
    monkeypatch.setattr(sensors, "clients", lambda: [client])
    assert main(["doctor"]) == 0
    (named,) = [line for line in lines(capsys) if line.startswith("not recognised")]
    assert named.startswith("not recognised: stand_in:Producer of stand_in ")


def test_what_needs_another_library_that_is_missing_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "stand_in_library"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "extra.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    sensors.install()
    target = Target("stand_in_library.extra", "send", sensors.clients()[0].targets[0].wrapper)
    client = Client("stand_in", "queue", "stand_in orders", (target,))
    monkeypatch.setattr(sensors, "clients", lambda: [client])
    assert main(["doctor"]) == 0
    out = lines(capsys)
    assert not [line for line in out if line.startswith("not recognised")]
    assert "0 of 0" in next(line for line in out if line.startswith("stand_in"))


def test_a_library_that_is_not_installed_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sensors.install()
    target = Target("no_such_client", "send", sensors.clients()[0].targets[0].wrapper)
    client = Client("no_such_client", "http", "GET https://example.com/ok", (target,))
    monkeypatch.setattr(sensors, "clients", lambda: [client])
    assert main(["doctor"]) == 0
    assert "not installed: no_such_client" in lines(capsys)


def test_a_sample_that_is_not_seen_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TXPROF", "0")  # blocks record nothing
    assert doctor.examine() == 1
    assert lines(capsys)[-1] == "a call in a transaction, to try it: NOT SEEN"


def test_the_page_of_sensors_is_up_to_date() -> None:
    table = tool("sensors")
    written = table.PAGE.read_text(encoding="utf-8")
    assert table.page() == written, "run: python tools/sensors.py --write"
