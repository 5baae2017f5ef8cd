"""`txprof pool plan` and `txprof pool simulate`: how large a pool should be."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from txprof.commands.values import CommandError, not_negative, positive

if TYPE_CHECKING:
    from txprof.pool.deployment import About
    from txprof.pool.sizing import Kind, Measured, Service
    from txprof.pool.workload import Worked
    from txprof.results import Profile


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "pool",
        help="say how large connection pools should be, from measurements",
        description="How large connection pools should be: by rules, or by simulation.",
    )
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_plan(kinds)
    _add_simulate(kinds)


# --- plan ---------------------------------------------------------------------------------------


def _add_plan(commands: Any) -> None:
    parser = commands.add_parser(
        "plan",
        help="the connections that services need, and whether the database has them",
        description=(
            "Add up the pools of a deployment, given by options or a TOML file (docs/pool.md), "
            "compare them with what the database allows, and say which rule is broken. With a "
            "recording: also how many threads are worth having, and the smallest pool that cannot "
            "deadlock."
        ),
    )
    parser.add_argument("recording", nargs="*", metavar="RECORDING", help="of the workers")
    _add_engine(parser)
    service = parser.add_argument_group("the service, unless there is a file")
    service.add_argument("--deployment", metavar="FILE", help="a TOML file with services")
    service.add_argument("--kind", choices=("web", "batch", "background"), help="default: batch")
    service.add_argument("--tasks", type=positive, metavar="N", help="containers or hosts")
    service.add_argument("--processes", type=positive, metavar="N", help="of a task (default: 1)")
    service.add_argument("--threads", type=positive, metavar="N", help="of a process")
    service.add_argument(
        "--runner-connections",
        type=not_negative,
        metavar="N",
        help="that the job runner holds itself, in a process (default: 0)",
    )
    service.add_argument(
        "--pool", type=positive, metavar="N", help="connections of a process (default: by the rule)"
    )
    database = parser.add_argument_group("the database")
    database.add_argument("--max-connections", type=positive, metavar="N")
    database.add_argument("--instance-class", metavar="CLASS", help="of RDS, such as db.r5.4xlarge")
    database.add_argument(
        "--db-engine", metavar="NAME", help="of that: aurora-mysql, mysql, mariadb, postgresql, ..."
    )
    database.add_argument(
        "--database-url", metavar="URL", help="ask the server: PostgreSQL, MariaDB or MySQL"
    )
    database.add_argument("--peak-connections", type=not_negative, metavar="N", help="so far")
    database.add_argument("--reserved-connections", type=not_negative, metavar="N")
    parser.add_argument(
        "--waiting-share",
        type=float,
        metavar="P",
        help="the part of the time that workers wait, 0 to 1 (default: as recorded)",
    )
    parser.add_argument(
        "--held-at-once",
        type=positive,
        metavar="N",
        help="connections that one worker holds at a time (default: as recorded)",
    )
    parser.set_defaults(run=_plan)


def _plan(arguments: argparse.Namespace) -> None:
    from txprof.pool import sizing
    from txprof.pool.server import Unreachable
    from txprof.report.plan import render

    try:
        services, about = _deployment(arguments)
        database = about.database()
        measured, notes = _measured(arguments, services)
        found = sizing.plan(services, database, measured)
    except (ValueError, Unreachable) as error:
        raise CommandError(str(error)) from error
    sys.stdout.write(render(found, notes, unicode=_unicode()))


def _deployment(arguments: argparse.Namespace) -> tuple[list[Service], About]:
    from txprof.pool.deployment import About, read
    from txprof.pool.sizing import Service

    given = About(
        arguments.max_connections,
        arguments.instance_class,
        arguments.database_url,
        arguments.db_engine,
        arguments.peak_connections,
        arguments.reserved_connections,
    )
    options = ("kind", "tasks", "processes", "threads", "runner_connections", "pool")
    named = [name for name in options if getattr(arguments, name) is not None]
    if arguments.deployment is not None:
        if named:
            option = "--" + named[0].replace("_", "-")
            raise CommandError(f"{option} is for a single service: the file has them all")
        services, about = read(Path(arguments.deployment))
        return services, about.overridden(given)
    missing = [name for name in ("tasks", "threads") if getattr(arguments, name) is None]
    if missing:
        raise CommandError(f"give --{missing[0]}, or --deployment FILE with the services")
    kind: Kind = arguments.kind or "batch"
    return [
        Service(
            kind,
            kind,
            arguments.tasks,
            arguments.processes or 1,
            arguments.threads,
            arguments.runner_connections or 0,
            arguments.pool,
        )
    ], given


def _measured(
    arguments: argparse.Namespace, services: list[Service]
) -> tuple[Measured, tuple[str, ...]]:
    """What the recording says; and what it does not, and why."""
    from txprof.pool.simulation import connections_needed
    from txprof.pool.sizing import Measured
    from txprof.pool.workload import (
        NotEnough,
        held_at_once,
        pool_row,
        waiting_share,
        worked,
        workload,
    )

    share, held = arguments.waiting_share, arguments.held_at_once
    if not arguments.recording:
        return Measured(share, held), ()
    recorded = _profile(arguments).recorded
    notes: list[str] = []
    work: Worked | None = None
    needed: dict[int, int] | None = None
    pool = pool_row(recorded, arguments.engine)
    try:
        work = worked(recorded, arguments.engine)
        drawn = workload(work)
        needed = {
            threads: connections_needed(drawn, workers=threads)
            for threads in sorted({service.threads for service in services})[:_SIMULATED]
        }
    except NotEnough as error:
        notes.append(f"the pool by simulation: {error}")
    if share is None:
        try:
            share = waiting_share(recorded, work)
        except NotEnough as error:
            notes.append(f"threads worth having: {error}; give --waiting-share")
    if held is None:
        held = held_at_once(recorded, pool.engine)
    return Measured(share, held, needed), tuple(notes)


_SIMULATED = 8
"""Different numbers of threads in a plan for which a pool is simulated."""


# --- simulate -----------------------------------------------------------------------------------


def _add_simulate(commands: Any) -> None:
    parser = commands.add_parser(
        "simulate",
        help="what workers get done on pools of several sizes",
        description=(
            "Let workers that hold connections, and do without, for as long as a recording says, "
            "share pools of several sizes: what they get done, how long they wait, how many give "
            "up. The same seed gives the same numbers."
        ),
    )
    parser.add_argument("recording", nargs="+", metavar="RECORDING", help="several are merged")
    _add_engine(parser)
    parser.add_argument(
        "--workers", metavar="N[,N-M]", help="threads or tasks that share it (default: as recorded)"
    )
    parser.add_argument(
        "--connections",
        metavar="N[,N-M]",
        help="sizes of the pool, overflow included (default: some up to the workers)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="after which a worker gives up (default: as recorded)",
    )
    parser.add_argument(
        "--what-if",
        action="append",
        default=[],
        metavar="hoist:FINGERPRINT",
        help="also with that finding's calls made outside of the hold; may be repeated",
    )
    parser.add_argument(
        "--jobs", type=positive, default=20_000, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="the jobs come in batches of N, which all workers start on at once "
        "(default: they never end)",
    )
    parser.add_argument("--svg", metavar="FILE", help="also draw it, light or dark, into this file")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: %(default)s")
    parser.set_defaults(run=_simulate)


def _simulate(arguments: argparse.Namespace) -> None:
    from txprof.pool.whatif import WhatIf, compare
    from txprof.pool.workload import NotEnough
    from txprof.report.whatif import render

    workers = _numbers("--workers", arguments.workers)
    sizes = _numbers("--connections", arguments.connections)
    fingerprints = [_fingerprint(text) for text in arguments.what_if]
    if arguments.timeout is not None and not arguments.timeout >= 0:
        raise CommandError(f"--timeout must be 0 seconds or more, not {arguments.timeout}")
    profile = _profile(arguments)
    try:
        found: WhatIf = compare(
            profile,
            engine=arguments.engine,
            workers=workers,
            connections=sizes,
            timeout=arguments.timeout,
            hoisted=fingerprints,
            jobs=arguments.jobs,
            batch=arguments.batch,
            seed=arguments.seed,
        )
    except (NotEnough, ValueError) as error:
        raise CommandError(str(error)) from error
    if arguments.svg is not None:
        from txprof.commands.report import save
        from txprof.report.sizes import svg

        save(arguments.svg, svg(found))
    sys.stdout.write(render(found, unicode=_unicode()))


_MOST = 10_000
"""Workers or connections that can be asked for."""

_SEVERAL = 64
"""Of them, different numbers."""


def _numbers(option: str, text: str | None) -> list[int] | None:
    """1,2,4-6"""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            numbers = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            numbers = range(0)
        if not numbers or numbers[0] < 1 or numbers[-1] > _MOST:
            raise CommandError(
                f"{option} takes whole numbers from 1 to {_MOST} and ranges of them, such as "
                f"1,2,4-8, not {text!r}"
            )
        found.update(numbers[: _SEVERAL + 1])
    if len(found) > _SEVERAL:
        raise CommandError(f"{option} takes at most {_SEVERAL} different numbers, not {text!r}")
    return sorted(found)


def _fingerprint(text: str) -> str:
    what, colon, fingerprint = text.partition(":")
    if what != "hoist" or not colon or not fingerprint:
        raise CommandError(f"--what-if takes hoist:FINGERPRINT, not {text!r}")
    return fingerprint


# --- both ---------------------------------------------------------------------------------------


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        metavar="TEXT",
        help="a part of the engine's URL, where the recording has several pools",
    )


def _profile(arguments: argparse.Namespace) -> Profile:
    import txprof

    try:
        profiles = [txprof.load(file) for file in arguments.recording]
    except txprof.RecordingError as error:
        raise CommandError(str(error)) from error
    return profiles[0] if len(profiles) == 1 else txprof.merge(*profiles)


def _unicode() -> bool:
    import os

    if os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        return False
    try:
        "█▏×".encode(sys.stdout.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
