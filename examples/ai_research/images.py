"""The image store: an S3 bucket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "product-images"

_s3: S3Client


@contextmanager
def connected(url: str) -> Iterator[None]:
    """Use the S3 at `url` while the block runs."""
    global _s3
    _s3 = _session().client("s3", endpoint_url=url, config=Config(proxies={}))
    try:
        _s3.create_bucket(Bucket=BUCKET)
        yield
    finally:
        _s3.close()


def upload(product_name: str) -> str:
    """Store the picture of a product; its URL."""
    key = f"{product_name}.png"
    _s3.put_object(Bucket=BUCKET, Key=key, Body=_picture(product_name), ContentType="image/png")
    return f"s3://{BUCKET}/{key}"


def _picture(product_name: str) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + product_name.encode() * 10_000


def _session() -> boto3.Session:
    # Nothing of the user's own: not the files in ~/.aws, not the profile that AWS_PROFILE names.
    def only(value: Any) -> tuple[None, None, Any, None]:
        return (None, None, value, None)

    variables = {
        "profile": only(None),
        "config_file": only(os.devnull),
        "credentials_file": only(os.devnull),
    }
    return boto3.Session(
        aws_access_key_id="demo",
        aws_secret_access_key="demo",
        region_name="us-east-1",
        botocore_session=botocore.session.Session(session_vars=variables),
    )
