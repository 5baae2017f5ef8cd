"""Clients of AWS, and objects to send there."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

LARGE = b"x" * (12 * 1024 * 1024)
"""Goes up in several parts, beside each other, if the configuration says so."""

OLD = {"Bucket": "images", "Key": "old"}
"""The object that the fixture `s3` puts there: LARGE."""


def aws_client(service: str, endpoint: str | None = None) -> Any:
    """A client with made-up credentials that tries three times."""
    return boto3.client(
        service,
        "us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="in-key-id",
        aws_secret_access_key="in-secret-key",
        config=Config(
            s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 3}
        ),
    )


def large_file(folder: Path) -> str:
    """The path of a file that holds LARGE."""
    path = folder / "source"
    path.write_bytes(LARGE)
    return str(path)


Transfer = Callable[[Any, Path, TransferConfig], Any]

TRANSFERS: dict[str, tuple[str, Transfer]] = {
    "upload_file": (
        "PutObject",
        lambda s3, folder, config: s3.upload_file(
            large_file(folder), "images", "new", Config=config
        ),
    ),
    "upload_fileobj": (
        "PutObject",
        lambda s3, _, config: s3.upload_fileobj(io.BytesIO(LARGE), "images", "new", Config=config),
    ),
    "upload_fileobj by name": (
        "PutObject",
        lambda s3, _, config: s3.upload_fileobj(
            Fileobj=io.BytesIO(LARGE), Bucket="images", Key="new", Config=config
        ),
    ),
    "download_file": (
        "GetObject",
        lambda s3, folder, config: s3.download_file(
            "images", "old", str(folder / "target"), Config=config
        ),
    ),
    "download_fileobj": (
        "GetObject",
        lambda s3, _, config: s3.download_fileobj("images", "old", io.BytesIO(), Config=config),
    ),
    "copy": (
        "CopyObject",
        lambda s3, _, config: s3.copy(OLD, "images", "new", Config=config),
    ),
}
"""Of boto3, and of aioboto3 if what they give is awaited: what each sends, and how."""
