"""How reports put things: amounts, calls, the headline. The same words in every format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from txprof.found import Finding
from txprof.profiled import FunctionProfile, PoolProfile
from txprof.rules.external_io import relative

if TYPE_CHECKING:
    from txprof.results import Profile

NOT_JUDGED = "not judged: line_profiler records line times, no connections and calls"
NO_FINDINGS = "no findings"

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""


def duration(seconds: float) -> str:
    """6.42 s, 84 ms, 0.3 ms"""
    if seconds >= 100:
        return f"{seconds:.0f} s"
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.00995 else f"{seconds * 1e3:.1f} ms"


def line_time(seconds: float) -> str:
    """Of many tasks that wait side by side the decimal would not fit the column."""
    milliseconds = seconds * 1e3
    return f"{milliseconds:.1f}ms" if milliseconds < 99_999.95 else f"{milliseconds:.0f}ms"


def cell(seconds: float | None, count: int | None) -> str:
    """The time of a line's queries or calls, empty where there were none."""
    if not count or seconds is None:
        return ""
    milliseconds = seconds * 1e3
    return f"{milliseconds:.0f}ms" if milliseconds >= 99.95 else f"{milliseconds:.1f}ms"


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """1 call, 3 calls, 5,000 findings"""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {nouns or noun + 's'}"


def what(finding: Finding) -> str:
    """What happened, as short as it can be told."""
    return str(finding.details.get("call", finding.message))


def rest(finding: Finding) -> str:
    """What the message says beyond `what` and the count."""
    return finding.message.removeprefix(what(finding)).removeprefix(f" {finding.count} times")


def cost(finding: Finding) -> str:
    """×3, 5.82 s"""
    seconds = finding.seconds
    return f"×{finding.count:,}" + ("" if seconds is None else f", {duration(seconds)}")


def place(finding: Finding) -> str:
    """app/naive.py:44"""
    return f"{relative(finding.site.file)}:{finding.site.line}"


def tally(findings: Sequence[Finding]) -> str:
    """2 errors, 1 warning; or that there are none."""
    counts = [
        (sum(finding.severity == severity for finding in findings), noun, nouns)
        for severity, noun, nouns in (
            ("error", "error", "errors"),
            ("warning", "warning", "warnings"),
            ("info", "note", "notes"),
        )
    ]
    parts = [counted(count, noun, nouns) for count, noun, nouns in counts if count]
    return ", ".join(parts) or NO_FINDINGS


def headline(profile: Profile, functions: Sequence[FunctionProfile]) -> list[str]:
    """What was run, and what it cost: 3 calls, 6.42 s, connection held 6.40 s (99.7 %), ..."""
    recorded = profile.recorded
    only = functions[0] if len(functions) == 1 else None
    calls = only.calls if only is not None else recorded.calls
    seconds = only.seconds if only is not None and only.lines else recorded.seconds
    held = only.held_seconds if only is not None else None
    parts = [counted(calls, "call")] if calls else []
    if seconds is not None:
        parts.append(duration(seconds))
    share = ""
    if held is None:
        held = sum(pool.held_seconds for pool in profile.pools)
    elif seconds:
        share = f" ({held / seconds:.1%})".replace("%", " %")
    if held or profile.pools:
        parts.append(f"connection held {duration(held)}{share}")
    if recorded.watched:
        queries = sum(row.count for row in recorded.statements)
        external = sum(row.count for row in recorded.external_calls)
        parts.append(counted(queries, "query", "queries"))
        parts.append(counted(external, "external call"))
    else:
        parts.append("line times only")
    return parts


def pool_parts(pool: PoolProfile) -> list[str]:
    """size 5, peak busy 5, waited 3× (max 4.98 s), timeouts 1"""
    waited = f"waited {pool.waits:,}×"
    if pool.waits:
        waited += f" (max {duration(pool.longest_wait)})"
    size = [f"size {pool.size}"] if pool.size is not None else []
    return [*size, f"peak busy {pool.peak_busy}", waited, f"timeouts {pool.timeouts}"]


def dedented(source: list[str]) -> list[str]:
    """A method's lines without the indentation of its `def`: columns are dear."""
    first = source[0]
    indent = first[: len(first) - len(first.lstrip())]
    return [line.removeprefix(indent) for line in source]


def xml_text(text: str) -> str:
    """With a mark in place of what XML cannot have."""
    return _NOT_XML.sub("�", text)
