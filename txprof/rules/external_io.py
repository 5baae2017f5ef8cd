"""I/O outside the database while a transaction is open, or a connection held."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from txprof.locked import Inspected, Lock, all_locks, most_telling, tables_of
from txprof.model import (
    IN_TRANSACTION,
    WHILE_HELD,
    CallPath,
    Severity,
    Site,
    fingerprint,
)
from txprof.recorded import CallRow, Recorded
from txprof.rules import rule_of, site_of
from txprof.settings import Settings, project_root

if TYPE_CHECKING:
    from txprof.found import Finding

_SEVERITY: dict[str, Severity] = {IN_TRANSACTION: "error", WHILE_HELD: "warning"}
_MILD = ("cache", "sleep")
"""Kinds that are a warning in a transaction too: short as a rule, or on purpose."""

_MESSAGES = ("queue", "mail")
"""Kinds whose receiver may act before the rows are there, or though they never will be."""

# Compiled by `re` with its first use: not each time that a test suite starts.
_CONNECTS = r".*:\d+"
"""What a message's connection alone is called: "smtp mail.example.com:25"."""


def judge(recorded: Recorded, settings: Settings) -> list[Finding]:  # noqa: ARG001
    """One finding for each rule, site and target."""
    groups: dict[tuple[Any, ...], list[CallRow]] = defaultdict(list)
    for row in recorded.external_calls:
        rule = rule_of(row)
        if rule is not None and row.allowed is None:
            groups[rule, site_of(row), row.kind, row.target].append(row)
    return [finding_of(rule, site, rows) for (rule, site, _, _), rows in groups.items()]


def finding_of(rule: str, site: Site, rows: Sequence[CallRow]) -> Finding:
    """The finding behind calls to one target that mix at one site."""
    from txprof.found import Finding

    worst = max(rows, key=lambda row: (row.seconds, row.count, row.path, row.opened))
    locks = all_locks(*(row.locks for row in rows))
    inspected = most_telling(*(row.inspected for row in rows))
    opened = worst.opened[0] if worst.opened else None
    since = f" opened at {located(opened)}" if opened else ""
    if rule == IN_TRANSACTION:
        message = f"{shown(worst)} inside the transaction{since}"
        if locks:
            message += f"; {stays_locked(locks, max(row.longest for row in rows))}"
            if worst.kind in _MESSAGES and not re.fullmatch(_CONNECTS, worst.target):
                message += ", and the message leaves before the commit"
        message += others_wait(inspected)
    else:
        since = f" taken at {located(opened)}" if opened else ""
        message = f"{shown(worst)} while the connection{since} is held"
    if worst.engine:
        message += f" ({worst.engine})"
    return Finding(
        rule=rule,
        severity="warning" if worst.kind in _MILD else _SEVERITY[rule],
        message=message,
        site=site,
        count=sum(row.count for row in rows),
        seconds=sum(row.seconds for row in rows),
        hint=_hint(rule, worst),
        fingerprint=fingerprint(rule, relative(site.file), site.function, worst.target),
        details={
            "kind": worst.kind,
            "target": worst.target,
            "call": shown(worst),
            "call_path": shown_path(worst.path),
            "transaction_site": opened if rule == IN_TRANSACTION else None,
            "hold_site": worst.hold[0] if worst.hold else None,
            **lock_details(locks, inspected),
            "engine": worst.engine,
        },
    )


def _hint(rule: str, row: CallRow) -> str:
    leave = f"leave the `{row.block}` block" if row.block else None
    if rule == IN_TRANSACTION:
        leave = leave or "commit or roll back"
        if row.kind in _MESSAGES:
            return f"write, {leave}, then send; or write down in it what is to be sent (an outbox)"
        return f"read what you need, {leave}, call, then open a new one to write"
    leave = leave or "close the session or connection"
    return f"read what you need, {leave} so that the pool has its connection back, then call"


def shown(row: CallRow) -> str:
    """A call as the report names it: HTTP POST host/path, S3 PutObject bucket."""
    if row.kind == "http":
        method, _, url = row.target.partition(" ")
        return f"HTTP {method} {url.partition('://')[2] or url}"
    if row.kind == "storage" and row.target.startswith("s3."):
        return f"S3 {row.target.removeprefix('s3.')}"
    if row.target.startswith(f"{row.kind} "):
        return row.target  # subprocess git, socket ldap.example.com:389
    return f"{row.kind} {row.target}"


def stays_locked(locks: tuple[Lock, ...], seconds: float) -> str:
    """Which tables, and for how long; of a call that only starts nobody knows."""
    verb = "stays" if len(locks) == 1 else "stay"
    if not seconds:
        long = "meanwhile"
    elif seconds < 0.1:
        long = f"for {seconds * 1e3:.1f} ms"
    else:
        long = f"for {seconds:.1f} s"
    return f"{', '.join(tables_of(locks))} {verb} locked {long}"


def others_wait(inspected: Inspected | None) -> str:
    """How many, if the server was asked and any did."""
    count = len(inspected.waiting) if inspected is not None else 0
    if not count:
        return ""
    return "; 1 other waits for it" if count == 1 else f"; {count} others wait for it"


def lock_details(locks: tuple[Lock, ...], inspected: Inspected | None) -> dict[str, Any]:
    """Of a finding: the tables that its transaction locked, what did, and what the server says."""
    details: dict[str, Any] = {
        "locked_tables": list(tables_of(locks)),
        "locks": [lock._asdict() for lock in locks],
    }
    if inspected is not None and inspected.skipped is not None:
        details["inspected"] = {"skipped": inspected.skipped}
    elif inspected is not None:
        details["inspected"] = {
            "holds": [{"table": table, "mode": mode} for table, mode in inspected.holds],
            "waiting": [waiter._asdict() for waiter in inspected.waiting],
        }
    return details


def located(site: Site) -> str:
    """naive.py:44 process"""
    return f"{os.path.basename(site.file)}:{site.line} {site.function}"


def shown_path(path: CallPath) -> list[str]:
    """A call path as details have it: outermost first."""
    return [located(site) for site in reversed(path)]


def relative(file: str) -> str:
    """The file as seen from the project's root, with forward slashes, if it lies below it."""
    root = str(project_root()) + os.sep
    return file.removeprefix(root).replace(os.sep, "/")
