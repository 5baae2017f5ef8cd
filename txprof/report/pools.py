"""What the text report says of a pool below its first line: how its connections were used."""

from __future__ import annotations

import os
from collections.abc import Iterator

from txprof.profiled import Durations, HoldProfile, PoolProfile

_SITES = 3
"""Lines that took connections: those that held them longest, in all."""

_INDENT = " " * 9


def pool_details(pool: PoolProfile) -> Iterator[str]:
    """Lines of parts joined by " · "; none for a recording that is older than all this."""
    mean = pool.mean_busy
    if mean is not None:
        parts = [f"{mean:.1f} on average while in use"]
        most = pool.limit if pool.limit is not None else pool.peak_busy
        full, measured = pool.busy.get(most, 0.0), sum(pool.busy.values())
        if full:
            parts.append(f"all {most} for {_percent(full / measured)} of it")
        yield _line("busy", parts)
    if not pool.held.count:
        return
    yield _line("held", _quantiles(pool.held))
    yield _line("", _shares(pool))
    if pool.waited.count:
        yield _line("waited", _quantiles(pool.waited))
    for hold in pool.holds[:_SITES]:
        if hold.site is not None and (hold.held.count or hold.waited.count):
            yield _line("", _site(hold))


def _line(name: str, parts: list[str]) -> str:
    return f"{_INDENT}{name:<9}" + " · ".join(parts)


def _quantiles(found: Durations) -> list[str]:
    named = (("p50", found.p50), ("p95", found.p95), ("p99", found.p99), ("max", found.max))
    return [f"{name} {_duration(value)}" for name, value in named]


def _shares(pool: PoolProfile) -> list[str]:
    whole = pool.held.count * (pool.held.mean or 0.0)
    in_statements, in_calls = pool.statement_seconds or 0.0, pool.external_seconds or 0.0
    if not whole:
        return ["for no time"]
    rest = max(0.0, whole - in_statements - in_calls)
    return [
        f"{_percent(in_statements / whole)} in statements",
        f"{_percent(in_calls / whole)} in external calls",
        f"{_percent(rest / whole)} in neither",
    ]


def _site(hold: HoldProfile) -> list[str]:
    site = hold.site
    assert site is not None
    parts = [f"{os.path.basename(site.file)}:{site.line} {site.function}", f"{hold.held.count}×"]
    if hold.held.count:
        parts.append(f"held p95 {_duration(hold.held.p95)}")
    if hold.waited.count:
        parts.append(f"waited p95 {_duration(hold.waited.p95)}")
    return parts


def _duration(seconds: float | None) -> str:
    from txprof.report.words import duration

    return "-" if seconds is None else duration(seconds)


def _percent(share: float) -> str:
    return f"{min(1.0, share) * 100:.0f} %"
