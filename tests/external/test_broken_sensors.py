"""A sensor that its library broke is noted once, at debug level; the program runs on."""

from __future__ import annotations

import logging
import sys
from typing import Any
from unittest.mock import MagicMock

import boto3
import httpx
import pytest
import requests
import urllib3
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from http_clients import Send, outcome, transaction
from sqlalchemy import Engine
from targets import installed_targets

import txprof
from txprof import policy
from txprof.rules import external_io
from txprof.sensors import aws, http, streams

pytestmark = [pytest.mark.breaks_a_sensor, pytest.mark.usefixtures("anew")]

TARGETS = installed_targets()
CLASSES = sorted({(target.module, target.attribute.partition(".")[0]) for target in TARGETS})


def notes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was noted, in order; at debug level or it fails."""
    noted = [record for record in caplog.records if "gave way" in record.getMessage()]
    assert {record.levelno for record in noted} <= {logging.DEBUG}
    return [
        record.getMessage().removeprefix("txprof: ").partition(" gave way")[0] for record in noted
    ]


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("of txprof's own")


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_a_class_that_is_gone_is_noted_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: str, name: str
) -> None:
    monkeypatch.delattr(f"{module}.{name}")
    for _ in range(2):
        with txprof.profile():
            pass
    assert notes(caplog) == [
        f"the sensor {target.module}:{target.attribute}"
        for target in TARGETS
        if (target.module, target.attribute.partition(".")[0]) == (module, name)
        and not target.optional
    ]


@pytest.mark.parametrize("gone", ["requests.sessions.Session", "urllib3.poolmanager.PoolManager"])
def test_the_layer_below_a_blind_sensor_still_sees_the_call(
    engine: Engine, api: ApiServer, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    clients = requests.Session(), urllib3.PoolManager()
    client: Any = clients["urllib3" in gone]
    monkeypatch.delattr(gone)
    with txprof.profile() as prof, transaction(engine):
        client.request("GET", api.url())  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    clients[0].close()
    clients[1].clear()


def test_a_module_that_is_a_mock_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = MagicMock()
    monkeypatch.setitem(sys.modules, "httpx", module)
    send = module.Client.send
    with txprof.profile():
        pass
    assert module.Client.send is send
    assert "the sensor httpx:Client.send" in notes(caplog)


def test_a_description_that_fails_leaves_the_call_alone(
    engine: Engine,
    api: ApiServer,
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(http, "http_call", broken)
    with txprof.profile(on_finding="raise") as prof, transaction(engine):
        for _ in range(2):
            assert send("GET", api.url()) == (200, b"ok")
    assert_clean(prof)
    assert calls_seen(prof) == []
    noted = notes(caplog)
    assert noted
    assert len(set(noted)) == len(noted)
    assert {note.rpartition(" ")[0] for note in noted} == {"the description by"}


@pytest.mark.parametrize(
    ("part", "name", "noted"),
    [
        (policy, "allowed", "the judgement of an external call"),
        (external_io, "finding_of", "the report of an external call"),
        (streams, "keep", "the streams by _unread"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_part_that_fails_is_noted_once_and_the_call_goes_out(
    engine: Engine,
    api: ApiServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    part: Any,
    name: str,
    noted: str,
) -> None:
    before = len(api.requests)
    client = httpx.Client(verify=False)
    with monkeypatch.context() as patch, client, txprof.profile(), transaction(engine):
        patch.setattr(part, name, broken)
        for _ in range(2):
            with client.stream("GET", api.url()) as response:
                assert response.read() == b"ok"
    assert notes(caplog) == [noted]
    assert api.requests[before:] == ["GET /ok", "GET /ok"]


def test_an_error_comes_through_a_broken_sensor_as_it_does_without_txprof(
    api: ApiServer, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call() -> Any:
        return send("G T", api.url())

    without = outcome(call)
    monkeypatch.setattr(http, "http_call", broken)
    with txprof.profile():
        assert outcome(call) == without


def test_an_aws_call_goes_out_whose_description_fails(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(aws, "operation", broken)
    client = boto3.client(
        "s3",
        "us-east-1",
        endpoint_url=api.url(""),
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    with txprof.profile():
        assert client.head_bucket(Bucket="images")["ResponseMetadata"]["HTTPStatusCode"] == 200
    client.close()
    assert notes(caplog) == ["the description by _api_call"]
