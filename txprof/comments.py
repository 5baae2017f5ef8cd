"""`# txprof: allow[rule] reason`, on the line that breaks it."""

from __future__ import annotations

import functools
import logging

from txprof.model import RULES
from txprof.source import allow_comments

logger = logging.getLogger("txprof")


@functools.lru_cache(maxsize=4_096)
def reason(rule: str, file: str, line: int) -> str | None:
    """Why the comments on a line let a rule be broken there, if they do."""
    for name, why in allow_comments(file, line):
        if name not in RULES:
            _reject(file, line, f"unknown rule {name!r}; known are {', '.join(RULES)}")
        elif not why:
            _reject(file, line, f"allow[{name}] needs a reason after the bracket")
        elif name == rule:
            return why
    return None


def _reject(file: str, line: int, why: str) -> None:
    logger.warning("%s:%d: the txprof comment is not followed: %s", file, line, why)
