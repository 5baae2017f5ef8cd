"""Clients of AWS, and objects to send there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
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
