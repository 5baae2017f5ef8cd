"""Files as formats name them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import PurePath
from urllib.parse import quote

from txprof.rules.external_io import relative


@lru_cache(maxsize=1_024)
def uri_path(file: str) -> str:
    """From the project's root, with forward slashes; absolute if it lies elsewhere."""
    return relative(file)


def uri(file: str) -> str:
    """A URI reference: relative to the project's root, or `file:///...`."""
    path = uri_path(file)
    if os.path.isabs(path):
        return PurePath(path).as_uri()
    return quote(path)
