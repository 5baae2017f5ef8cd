"""What was repeated in one entry into the application, and whether it was on purpose."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from txprof import comments
from txprof.model import Site, State
from txprof.recorded import BurstRow, Load
from txprof.samples import differing
from txprof.shapes import is_chunked, is_paged, rows_written, shape, slots
from txprof.source import is_in_loop
from txprof.sql import text

if TYPE_CHECKING:
    from txprof.entries import Statement
    from txprof.settings import Settings

_WORST: tuple[State, ...] = ("transaction", "held", "free")


# Compiled by `re` with its first use: not each time that a test suite starts.
_CATALOGUE = r"\bsqlite_(temp_)?(master|schema)\b|\b(pg_catalog|information_schema)\s*\."


def bursts_in(rows: Iterable[Statement], settings: Settings) -> list[BurstRow]:
    """The bursts among what one entry ran."""
    by_path: dict[Any, list[Statement]] = defaultdict(list)
    for row in rows:
        by_path[row.path].append(row)
    found = []
    for there in by_path.values():
        if sum(row.count for row in there) < 2:
            continue  # most of them
        groups: dict[Any, list[Statement]] = defaultdict(list)
        for row in _often_enough(there, settings):
            groups[shape(row.text), row.load].append(row)
        for (form, load), group in groups.items():
            burst = _burst(form, group, load, settings)
            if burst is not None:
                burst.allowed = burst.allowed or _commented(burst)
                found.append(burst)
    return found


def _often_enough(rows: Sequence[Statement], settings: Settings) -> Iterator[Statement]:
    """Those that may be a burst if all of one load are of one shape: only their shapes are looked
    for, which takes sqlparse a millisecond for a new one."""
    counts: dict[tuple[str, Load], int] = defaultdict(int)
    told = []
    for row in rows:
        writes = text(row.text).writes
        kind = "write" if writes else row.load.kind
        counts[kind, row.load] += row.turns if writes else row.count
        told.append((kind, row.load))
    for row, key in zip(rows, told, strict=True):
        if _is_enough(key[0], counts[key], counts[key], settings):
            yield row


def _commented(burst: BurstRow) -> str | None:
    """Why a comment lets it be, on any line of the path."""
    rule = "write-loop" if burst.load.kind == "write" else "n-plus-one"
    for site in burst.path:
        why = comments.reason(rule, site.file, site.line)
        if why is not None:
            return why
    return None


def _burst(
    form: str, group: Sequence[Statement], load: Load, settings: Settings
) -> BurstRow | None:
    known = text(group[0].text)
    count = sum(row.turns if known.writes else row.count for row in group)
    if load.kind == "eager" or not (known.reads or known.writes):
        return None
    total = group[0].copy()
    for row in group[1:]:
        total.add(row)
    total.sample.settle()
    distinct = max(len(total.sample.distinct), len(group) if _literal(group) else 1)
    if known.writes:
        load = Load("write")
    if not _is_enough(load.kind, count, distinct, settings):
        return None
    if known.writes and _is_of_many_rows(group, total):
        return None
    if load.kind == "select" and _is_on_purpose(group, total):
        return None
    return BurstRow(
        path=tuple(Site(*frame) for frame in group[0].asking),
        statement=form,
        state=min((row.state for row in group), key=_WORST.index),
        load=load,
        allowed=total.allowed,
        entries=1,
        count=count,
        most=count,
        distinct=distinct,
        seconds=total.seconds,
    )


def _is_of_many_rows(group: Sequence[Statement], total: Statement) -> bool:
    """Whether a write is of many rows: executemany, several VALUES, a flush of many objects."""
    flushed = total.count >= 2 * total.turns
    return total.sample.many or flushed or rows_written(group[0].text) > 1


def _is_enough(kind: str, count: int, distinct: int, settings: Settings) -> bool:
    if kind == "relationship":
        return distinct >= settings.n_plus_one_parents or count >= settings.n_plus_one_selects
    if kind == "attribute":
        return count >= settings.n_plus_one_attributes
    if kind == "write":
        return count >= settings.write_loop_statements
    return count >= settings.n_plus_one_selects


def _literal(group: Sequence[Statement]) -> bool:
    return len(group) > 1 and len({row.text for row in group}) > 1


def _is_on_purpose(group: Sequence[Statement], total: Statement) -> bool:
    """Whether it turns pages, asks for many rows each time, for new ones, or probes in a flush."""
    asked = total.asking[:1]
    if total.flush is not None and not (asked and is_in_loop(*asked[0][:2])):
        return True  # of one row after the other: a uniqueness check in an event of the mapper
    fresh = total.fresh >= total.count - len(group)
    if fresh and len(total.sample.distinct) < 2 and not _literal(group):
        return True  # the same question, but something was written since it was asked last
    statement = max((row.text for row in group), key=len)
    if re.search(_CATALOGUE, statement, re.IGNORECASE):
        return True  # reflection: what `MetaData.reflect` and `inspect` ask table by table
    varying = total.sample.varying_slots(slots(statement))
    if _literal(group):
        varying |= _varying_literals([row.text for row in group[:5]], statement)
    return is_paged(statement, varying) or is_chunked(statement, varying)


def _varying_literals(texts: Sequence[str], statement: str) -> set[int]:
    """The values that differ between texts of one shape; all of IN lists of different length."""
    found = slots(statement)
    varying = set()
    for other in map(slots, texts):
        if len(other) == len(found):
            varying |= differing([slot.text for slot in found], [slot.text for slot in other])
        else:
            varying |= {i for i, slot in enumerate(found) if slot.role == "in"}
    return varying
