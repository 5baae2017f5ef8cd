"""AWS: one operation of a client is one call, by its name and what it works on."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_clients import LARGE, aws_client, large_file
from botocore.stub import Stubber
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen, line_of
from http_clients import everything_said, outcome, transaction, unused_port
from moto import mock_aws
from sqlalchemy import Engine

import txprof

# --- operations ---------------------------------------------------------------------------------

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "PutObject": lambda s3: s3.put_object(Bucket="images", Key="new", Body=b"body"),
    "GetObject": lambda s3: s3.get_object(Bucket="images", Key="old")["Body"].read(),
    "HeadObject": lambda s3: s3.head_object(Bucket="images", Key="old"),
    "ListObjectsV2": lambda s3: s3.list_objects_v2(Bucket="images"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_one_finding_at_the_calling_line(
    engine: Engine, s3: Any, operation: str
) -> None:
    with txprof.profile() as prof, transaction(engine):
        OPERATIONS[operation](s3)  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "storage"
    assert finding.details["target"] == f"s3.{operation} images"
    assert calls_seen(prof) == [("storage", f"s3.{operation} images", 1)]


def test_an_operation_that_retries_is_one_call(
    engine: Engine, api: ApiServer, s3_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)  # no pause between attempts
    before = len(api.requests)
    with (
        txprof.profile() as prof,
        transaction(engine),
        pytest.raises(s3_api.exceptions.ClientError),
    ):
        s3_api.put_object(Bucket="status", Key="503", Body=b"body")  # call
    assert len(api.requests[before:]) == 3
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_neither_key_nor_body_nor_credentials_are_shown(
    engine: Engine, s3: Any, tmp_path: Path
) -> None:
    with txprof.profile() as prof, transaction(engine):
        s3.put_object(Bucket="images", Key="in-key", Body=b"in-body", Metadata={"a": "in-metadata"})
    said = everything_said(prof, tmp_path)
    assert "s3.PutObject images" in said
    secrets = ("in-key", "in-body", "in-metadata", "in-secret-key")
    assert not [secret for secret in secrets if secret in said]


def test_the_body_of_an_object_read_in_a_later_transaction_is_a_finding_there(
    engine: Engine, s3: Any
) -> None:
    with txprof.profile() as prof:
        body = s3.get_object(Bucket="images", Key="old")["Body"]
        with transaction(engine):
            assert body.read() == LARGE  # read
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert finding.details["target"] == "s3.GetObject images"
    assert calls_seen(prof) == [("storage", "s3.GetObject images", 1)]


def test_an_allowed_host_is_that_of_the_endpoint(engine: Engine, moto: str, s3: Any) -> None:
    with (
        txprof.profile(allow_hosts=[moto.removeprefix("http://")]) as prof,
        transaction(engine),
    ):
        s3.head_bucket(Bucket="images")
        s3.upload_fileobj(io.BytesIO(b"body"), "images", "new")
    assert_clean(prof)
    assert [count for _, _, count in calls_seen(prof)] == [1, 1]


# --- errors -------------------------------------------------------------------------------------

FAILING: dict[str, Callable[[Any, Any, Path], Any]] = {
    "no such bucket": lambda s3, _, __: s3.put_object(Bucket="none", Key="a", Body=b"a"),
    "no such key": lambda s3, _, __: s3.get_object(Bucket="images", Key="none"),
    "a bad parameter": lambda s3, _, __: s3.put_object(Bucket="images", Kei="a"),
    "upload_file": lambda s3, _, folder: s3.upload_file(large_file(folder), "none", "a"),
    "upload_fileobj": lambda s3, _, __: s3.upload_fileobj(io.BytesIO(b"a"), "none", "a"),
    "download_file": lambda s3, _, folder: s3.download_file("images", "none", str(folder / "a")),
    "a bad argument": lambda s3, _, __: s3.upload_fileobj(io.BytesIO(b"a"), "images"),
    "refused": lambda _, refusing, __: refusing.head_bucket(Bucket="images"),
}


@pytest.mark.parametrize("failing", FAILING)
def test_a_failing_call_raises_what_it_does_without_txprof(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    refusing = aws_client("s3", f"http://127.0.0.1:{unused_port()}")

    def call() -> Any:
        return FAILING[failing](s3, refusing, tmp_path)

    txprof.uninstall()
    without = outcome(call)
    assert without[0] == "raised"
    with txprof.profile():
        assert outcome(call) == without
    refusing.close()


# --- mocks, and services other than S3 ----------------------------------------------------------


@pytest.mark.parametrize("first", ["mock", "profile"])
def test_a_call_answered_by_moto_in_the_process_is_one_finding(engine: Engine, first: str) -> None:
    txprof.uninstall()
    mocked, profile = mock_aws(), txprof.profile()
    prof = profile.__enter__() if first == "profile" else None
    with mocked:
        prof = prof or profile.__enter__()
        client = aws_client("s3")
        client.create_bucket(Bucket="images")
        with transaction(engine):
            client.put_object(Bucket="images", Key="a", Body=b"a")  # call
        client.upload_fileobj(io.BytesIO(b"a"), "images", "b")
        client.close()
    profile.__exit__(None, None, None)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [
        ("storage", "s3.CreateBucket images", 1),
        ("storage", "s3.PutObject images", 2),
    ]


@pytest.mark.parametrize("first", ["stub", "profile"])
def test_a_call_answered_by_a_stubber_is_one_finding(engine: Engine, first: str) -> None:
    txprof.uninstall()
    client = aws_client("s3")
    stubber = Stubber(client)
    stubber.add_response("put_object", {})
    if first == "stub":
        stubber.activate()
    with txprof.profile() as prof, transaction(engine):
        stubber.activate()
        client.put_object(Bucket="images", Key="a", Body=b"a")  # call
    stubber.deactivate()
    client.close()
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


SERVICES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "sqs": (
        "queue",
        "sqs.SendMessage orders",
        lambda sqs: sqs.send_message(
            QueueUrl=sqs.create_queue(QueueName="orders")["QueueUrl"], MessageBody="a"
        ),
    ),
    "sns": (
        "queue",
        "sns.Publish news",
        lambda sns: sns.publish(TopicArn=sns.create_topic(Name="news")["TopicArn"], Message="a"),
    ),
    "dynamodb": ("rpc", "dynamodb.ListTables", lambda dynamodb: dynamodb.list_tables()),
    "ssm": (
        "rpc",
        "ssm.PutParameter password",
        lambda ssm: ssm.put_parameter(Name="/prod/password", Value="a", Type="String"),
    ),
    "ses": (
        "mail",
        "ses.VerifyEmailIdentity",
        lambda ses: ses.verify_email_identity(EmailAddress="someone@example.com"),
    ),
}


@pytest.mark.parametrize("service", SERVICES)
def test_a_call_to_another_service_has_its_kind_and_resource(service: str) -> None:
    kind, target, call = SERVICES[service]
    with mock_aws(), txprof.profile() as prof:
        client = aws_client(service)
        call(client)
        client.close()
    assert (kind, target, 1) in calls_seen(prof)
