"""AWS in asyncio. aiobotocore wants a botocore of its own age, so the extra `test` leaves it out.

To run these: an environment of its own, `pip install -e '.[test]' aioboto3`.
"""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aws_clients import LARGE, OLD, TRANSFERS
from boto3.s3.transfer import TransferConfig
from helpers import assert_clean, assert_flagged, calls_seen, line_of
from http_clients import outcome, transaction, unused_port
from sqlalchemy import Engine

import txprof

aioboto3 = pytest.importorskip("aioboto3")
aiobotocore = pytest.importorskip("aiobotocore.session")
aiobotocore_config = pytest.importorskip("aiobotocore.config")

# aioboto3 hands the parts of an upload on as bytes, which aiohttp advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

Work = Callable[[Any], Awaitable[Any]]


CONNECTED = {
    "region_name": "us-east-1",
    "aws_access_key_id": "in-key-id",
    "aws_secret_access_key": "in-secret-key",
}


def with_client(endpoint: str, work: Work) -> Any:
    """What the work with a client of aioboto3 gives."""
    session = aioboto3.Session()
    return _working(session.client("s3", endpoint_url=endpoint, **CONNECTED), work)


def with_resource(endpoint: str, work: Work) -> Any:
    """The same for a resource."""
    session = aioboto3.Session()
    return _working(session.resource("s3", endpoint_url=endpoint, **CONNECTED), work)


def _working(connected: AbstractAsyncContextManager[Any], work: Work) -> Any:
    async def main() -> Any:
        async with connected as s3:
            return await work(s3)

    return asyncio.run(main())


async def put(s3: Any) -> int:
    answer = await s3.put_object(Bucket="images", Key="in-key", Body=b"in-body")
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


async def get(s3: Any) -> bool:
    answer = await s3.get_object(**OLD)
    async with answer["Body"] as body:
        return bool(await body.read() == LARGE)


OPERATIONS: dict[str, tuple[Work, Any]] = {"PutObject": (put, 200), "GetObject": (get, True)}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_one_finding_and_answers_as_without_txprof(
    engine: Engine, moto: str, s3: Any, name: str
) -> None:
    work, answer = OPERATIONS[name]
    txprof.uninstall()
    assert with_client(moto, work) == answer
    with txprof.profile() as prof, transaction(engine):
        assert with_client(moto, work) == answer  # call
    finding = assert_flagged(prof, "io-in-transaction", count=1)
    assert finding.details["kind"] == "storage"
    assert finding.details["target"] == f"s3.{name} images"
    assert calls_seen(prof) == [("storage", f"s3.{name} images", 1)]


def _told(outcome: Any) -> list[Any]:
    """The errors, by the names of their types: each client has types of its own."""
    return [(each[0].__name__, *each[1:]) for each in outcome[1]]


async def missing(s3: Any) -> Any:
    return await s3.get_object(Bucket="images", Key="none")


async def bad(s3: Any) -> Any:
    return await s3.get_object(Bucket="images", Kei="none")


@pytest.mark.parametrize(("work", "says"), [(missing, "NoSuchKey"), (bad, "Kei")])
def test_a_failing_operation_raises_what_it_does_without_txprof(
    moto: str, s3: Any, work: Work, says: str
) -> None:
    call = functools.partial(with_client, moto, work)
    txprof.uninstall()
    without = outcome(call)
    assert without[0] == "raised"
    assert says in str(without[1][0])
    with txprof.profile() as prof:
        watched = outcome(call)
    assert _told(watched) == _told(without)
    assert [count for _, _, count in calls_seen(prof)] == [1]


def test_a_refused_operation_is_one_call_however_often_it_is_tried(engine: Engine) -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}"

    async def work() -> None:
        config = aiobotocore_config.AioConfig(retries={"mode": "standard", "total_max_attempts": 2})
        async with aiobotocore.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=nowhere,
            aws_access_key_id="in-key-id",
            aws_secret_access_key="in-secret-key",
            config=config,
        ) as s3:
            with transaction(engine), pytest.raises(Exception, match="Could not connect"):
                await s3.head_bucket(Bucket="images")  # call

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("storage", "s3.HeadBucket images", 1)]


def test_a_body_read_in_a_later_transaction_is_a_finding_at_the_reading_line(
    engine: Engine, moto: str, s3: Any
) -> None:
    async def work(s3: Any) -> None:
        answer = await s3.get_object(**OLD)
        with transaction(engine):
            assert await answer["Body"].read() == LARGE  # read

    with txprof.profile() as prof:
        with_client(moto, work)
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("storage", "s3.GetObject images", 1)]


def test_an_operation_that_raises_is_not_sent(engine: Engine, moto: str, s3: Any) -> None:
    async def work(aio: Any) -> None:
        with (
            transaction(engine),
            pytest.warns(txprof.TransactionHygieneWarning),
            pytest.raises(txprof.TransactionHygieneError),
        ):
            await put(aio)

    s3.delete_object(Bucket="images", Key="in-key")
    with txprof.profile(on_finding="raise"):
        with_client(moto, work)
    found = s3.list_objects_v2(Bucket="images")["Contents"]
    assert "in-key" not in [one["Key"] for one in found]


# --- transfers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("megabytes", [5, 100])
@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_is_one_finding_in_however_many_parts(
    engine: Engine, moto: str, s3: Any, tmp_path: Path, name: str, megabytes: int
) -> None:
    operation, transfer = TRANSFERS[name]
    size = megabytes * 1024 * 1024
    config = TransferConfig(multipart_threshold=size, multipart_chunksize=size)

    async def work(aio: Any) -> None:
        with transaction(engine):
            await transfer(aio, tmp_path, config)  # call

    with txprof.profile() as prof:
        with_client(moto, work)
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["target"] == f"s3.{operation} images"
    assert calls_seen(prof) == [("storage", f"s3.{operation} images", 1)]


def test_a_transfer_of_a_resource_is_one_finding(engine: Engine, moto: str, s3: Any) -> None:
    async def work(aio: Any) -> None:
        bucket = await aio.Bucket("images")
        with transaction(engine):
            await bucket.upload_fileobj(io.BytesIO(b"a"), "new")  # call

    with txprof.profile() as prof:
        with_resource(moto, work)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("storage", "s3.PutObject images", 1)]


def test_an_allowed_host_is_that_of_the_endpoint(engine: Engine, moto: str, s3: Any) -> None:
    async def work(aio: Any) -> None:
        with transaction(engine):
            await put(aio)
            await aio.upload_fileobj(io.BytesIO(b"a"), "images", "new")

    with txprof.profile(allow_hosts=[moto.removeprefix("http://")]) as prof:
        with_client(moto, work)
    assert_clean(prof)
    assert calls_seen(prof) == [("storage", "s3.PutObject images", 2)]


def test_uninstalling_gives_back_the_very_originals() -> None:
    import aioboto3.s3.inject
    import aiobotocore.client

    def found() -> list[Any]:
        return [
            vars(aiobotocore.client.AioBaseClient)["_make_api_call"],
            *(getattr(aioboto3.s3.inject, name) for name in ("upload_fileobj", "copy")),
        ]

    txprof.uninstall()
    before = found()
    with txprof.profile():
        assert not any(now is then for now, then in zip(found(), before, strict=True))
    txprof.uninstall()
    assert all(now is then for now, then in zip(found(), before, strict=True))
