"""Transfers to and from S3: one call each, whatever threads of its own boto3 takes for it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_clients import LARGE, OLD, TRANSFERS, Transfer, large_file
from boto3.s3.transfer import TransferConfig
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, findings_of, line_of
from http_clients import transaction
from s3transfer.manager import TransferManager
from sqlalchemy import Engine

import txprof

MEGABYTE = 1024 * 1024


@pytest.fixture(params=TRANSFERS)
def transfer(request: pytest.FixtureRequest) -> tuple[str, Transfer]:
    """The operation's name, and a transfer by one of boto3's methods."""
    return TRANSFERS[request.param]


@pytest.mark.parametrize("use_threads", [True, False])
@pytest.mark.parametrize("megabytes", [5, 100])
def test_a_transfer_is_one_finding_at_the_calling_line(
    engine: Engine,
    s3: Any,
    transfer: tuple[str, Transfer],
    tmp_path: Path,
    use_threads: bool,
    megabytes: int,
) -> None:
    operation, run = transfer
    part = megabytes * MEGABYTE
    config = TransferConfig(
        multipart_threshold=part, multipart_chunksize=part, use_threads=use_threads
    )
    with txprof.profile() as prof, transaction(engine):
        since = time.perf_counter()
        run(s3, tmp_path, config)  # call
        waited = time.perf_counter() - since
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "storage"
    assert finding.details["target"] == f"s3.{operation} images"
    assert calls_seen(prof) == [("storage", f"s3.{operation} images", 1)]
    assert finding.seconds is not None
    assert 0 < finding.seconds <= waited


def test_a_transfer_with_nothing_open_is_one_call_and_clean(
    s3: Any, transfer: tuple[str, Transfer], tmp_path: Path
) -> None:
    operation, run = transfer
    with txprof.profile() as prof:
        run(s3, tmp_path, TransferConfig())
    assert_clean(prof)
    assert calls_seen(prof) == [("storage", f"s3.{operation} images", 1)]


def test_a_transfer_that_raises_is_not_begun(
    engine: Engine, api: ApiServer, s3_api: Any, transfer: tuple[str, Transfer], tmp_path: Path
) -> None:
    before = len(api.requests)
    with (
        txprof.profile(on_finding="raise"),
        transaction(engine),
        pytest.warns(txprof.TransactionHygieneWarning, match=r"^io-in-transaction: S3"),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        transfer[1](s3_api, tmp_path, TransferConfig())  # call
    assert api.requests[before:] == []
    assert caught.value.finding.site.line == line_of("call")


def test_a_transfer_of_a_bucket_object_is_one_finding(
    engine: Engine, moto: str, s3: Any, tmp_path: Path
) -> None:
    resource = boto3.resource(
        "s3", "us-east-1", endpoint_url=moto, aws_access_key_id="a", aws_secret_access_key="b"
    )
    with txprof.profile() as prof, transaction(engine):
        resource.Bucket("images").upload_file(large_file(tmp_path), "new")  # call
    resource.meta.client.close()
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("storage", "s3.PutObject images", 1)]


def test_each_method_of_an_object_is_one_call(engine: Engine, moto: str, s3: Any) -> None:
    resource = boto3.resource(
        "s3", "us-east-1", endpoint_url=moto, aws_access_key_id="a", aws_secret_access_key="b"
    )
    old, new = resource.Object("images", "old"), resource.Object("images", "new")
    with txprof.profile() as prof, transaction(engine):
        new.put(Body=b"a")
        assert new.get()["Body"].read() == b"a"
        new.upload_fileobj(io.BytesIO(LARGE))
        old.download_fileobj(io.BytesIO())
    resource.meta.client.close()
    found = findings_of(prof, "io-in-transaction")  # one a line
    assert sorted(finding.details["target"] for finding in found) == [
        *["s3.GetObject images"] * 2,
        *["s3.PutObject images"] * 2,
    ]
    assert calls_seen(prof) == [
        ("storage", "s3.GetObject images", 2),
        ("storage", "s3.PutObject images", 2),
    ]


# --- transfer managers --------------------------------------------------------------------------

SUBMITTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "upload": ("PutObject", lambda manager: manager.upload(io.BytesIO(b"a"), "images", "new")),
    "download": ("GetObject", lambda manager: manager.download("images", "old", io.BytesIO())),
    "copy": ("CopyObject", lambda manager: manager.copy(OLD, "images", "new")),
    "delete": ("DeleteObject", lambda manager: manager.delete("images", "new")),
    "delete by name": ("DeleteObject", lambda manager: manager.delete(bucket="images", key="new")),
}


@pytest.mark.parametrize("method", SUBMITTED)
def test_a_transfer_submitted_in_a_transaction_is_a_finding_where_it_is_submitted(
    engine: Engine, s3: Any, method: str
) -> None:
    operation, submit = SUBMITTED[method]
    with TransferManager(s3) as manager, txprof.profile() as prof:
        with transaction(engine):
            future = submit(manager)  # submit
        future.result()
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("submit"), count=1)
    assert finding.details["target"] == f"s3.{operation} images"
    assert calls_seen(prof) == [("storage", f"s3.{operation} images", 1)]


@pytest.mark.parametrize("method", SUBMITTED)
def test_a_transfer_awaited_in_a_transaction_is_a_finding_where_it_is_awaited(
    engine: Engine, s3: Any, method: str
) -> None:
    operation, submit = SUBMITTED[method]
    with TransferManager(s3) as manager, txprof.profile() as prof:
        future = submit(manager)
        with transaction(engine):
            future.result()  # wait
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert finding.details["target"] == f"s3.{operation} images"
    assert calls_seen(prof) == [("storage", f"s3.{operation} images", 1)]


def test_a_transfer_awaited_twice_is_one_call(engine: Engine, s3: Any) -> None:
    with TransferManager(s3) as manager, txprof.profile() as prof, transaction(engine):
        future = manager.delete("images", "new")  # submit
        future.result()
        future.result()
    assert_flagged(prof, "io-in-transaction", line=line_of("submit"), count=1)


def test_leaving_the_manager_in_a_transaction_waits_for_its_transfers(
    engine: Engine, s3: Any
) -> None:
    with txprof.profile() as prof:
        manager = TransferManager(s3)
        manager.upload(io.BytesIO(LARGE), "images", "new")
        with transaction(engine):
            manager.shutdown()  # wait
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)


def test_a_transfer_nobody_waits_for_with_a_transaction_open_is_clean(
    engine: Engine, s3: Any
) -> None:
    with TransferManager(s3) as manager, txprof.profile() as prof:
        future = manager.upload(io.BytesIO(LARGE), "images", "new")
        with transaction(engine):
            pass
        future.result()
    assert findings_of(prof, "io-in-transaction") == []
    assert calls_seen(prof) == [("storage", "s3.PutObject images", 1)]


def test_waiting_for_a_transfer_in_a_transaction_raises_under_raise(
    engine: Engine, s3: Any
) -> None:
    with TransferManager(s3) as manager, txprof.profile(on_finding="raise"):
        future = manager.upload(io.BytesIO(b"a"), "images", "new")
        with (
            transaction(engine),
            pytest.warns(txprof.TransactionHygieneWarning),
            pytest.raises(txprof.TransactionHygieneError),
        ):
            future.result()
        assert future.result() is None
