"""How large pools should be: rules of thumb, each a formula with its source.

Pure arithmetic on what somebody measured or decided; `deployment.py` reads that, and
`report/plan.py` shows it. "The story" is the batch that README.md tells of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["web", "batch", "background"]
KINDS: tuple[Kind, ...] = ("web", "batch", "background")

MOST_THREADS = 50
"""More threads in one process are not worth having, whatever they wait for (the story)."""

DEPLOY = 2
"""While a deploy runs, the old tasks and the new ones are there (the story)."""


@dataclass(frozen=True, slots=True)
class Service:
    """So many tasks (containers, hosts) of so many processes, of so many threads each.

    `runner_connections` are those that a job runner holds for itself, in each process. `pool` is
    the size that somebody chose, overflow included; None: as the rule says. `running`: it is
    deployed already, so the database's peak has it.
    """

    name: str
    kind: Kind
    tasks: int
    processes: int = 1
    threads: int = 1
    runner_connections: int = 0
    pool: int | None = None
    running: bool = False

    @property
    def needed(self) -> int:
        """See `pool_size`."""
        return pool_size(self.threads, self.runner_connections)

    @property
    def chosen(self) -> int:
        """Connections of a process's pool."""
        return self.needed if self.pool is None else self.pool

    @property
    def total(self) -> int:
        """See `total_connections`."""
        return total_connections(self.tasks, self.processes, self.chosen)


@dataclass(frozen=True, slots=True)
class Database:
    """What a database server allows, and what is used of it; None is what nobody knows.

    `reserved` connections are kept for administrators.
    """

    max_connections: int
    reserved: int = 0
    peak: int | None = None
    in_use: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a recording, or its reader, says of the workers.

    `waiting_share` is the part of a worker's time in which it waits (0 to 1), `held_at_once` how
    many connections of one pool one worker holds at a time at most. `needed` is the smallest pool
    that a simulation with as many workers as a process has threads found to be enough.
    """

    waiting_share: float | None = None
    held_at_once: int | None = None
    needed: dict[int, int] | None = None


def pool_size(threads: int, runner_connections: int = 0) -> int:
    """Connections of one process: one for each thread, and what its job runner holds (the story).

    A thread that finds none waits, so fewer make threads useless; more are never used. Sidekiq's
    documentation says the same of its concurrency; its runner holds one.
    """
    return threads + runner_connections


def total_connections(tasks: int, processes: int, pool: int) -> int:
    """Of a service: tasks x processes x pool (the story; for web: tasks x workers x pool)."""
    return tasks * processes * pool


def usable(max_connections: int, reserved: int = 0) -> int:
    """Half of what the server gives out: a deploy doubles the tasks for a moment (the story)."""
    return (max_connections - reserved) // DEPLOY


def room(max_connections: int, peak: int, reserved: int = 0) -> int:
    """What can still be added: max_connections / 2 - peak connections (the story)."""
    return usable(max_connections, reserved) - peak


def deadlock_floor(threads: int, held_at_once: int) -> int:
    """The smallest pool on which workers that hold several at once cannot wait for each other.

    threads x (held at once - 1) + 1: all but one can be had by every thread, and one more. Source:
    HikariCP, "About Pool Sizing", section "Pool-locking".
    """
    return threads * (held_at_once - 1) + 1


def speedup(threads: int, waiting_share: float) -> float:
    """How many times as much N threads do as one: 1 / ((1 - p) + p / N), p the share that waits.

    Source: Amdahl, "Validity of the single processor approach to achieving large scale computing
    capabilities", 1967. In CPython one thread computes at a time: what does not wait is serial.
    """
    return 1 / ((1 - waiting_share) + waiting_share / threads)


def worthwhile_threads(waiting_share: float) -> int:
    """The power of two up to which each doubling of the threads still does half as much again.

    Doubling from N pays (by 1.5 or more, of 2) while 2 N <= p / (1 - p): until the part that is
    shared out takes as long as the part that is not. At most 50. With p = 0.9: 8, as in the story.
    """
    threads = 1
    while 2 * threads <= MOST_THREADS:
        gain = speedup(2 * threads, waiting_share) / speedup(threads, waiting_share)
        if gain < 1.5 - 1e-9:
            return threads
        threads *= 2
    return MOST_THREADS if waiting_share >= 1 else threads


CURVE = (1, 2, 4, 8, 16, 32, MOST_THREADS)
"""Threads for which a plan shows the speedup."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What services ask of a database, and where that breaks a rule."""

    services: tuple[Service, ...]
    database: Database | None
    measured: Measured
    warnings: tuple[str, ...]

    @property
    def total(self) -> int:
        """Connections when every pool is full."""
        return sum(service.total for service in self.services)

    @property
    def added(self) -> int:
        """Those of services that are not running yet."""
        return sum(service.total for service in self.services if not service.running)

    @property
    def room(self) -> int | None:
        """What can still be added, with these services; None if nobody knows the peak."""
        if self.database is None or self.database.peak is None:
            return None
        found = self.database
        assert found.peak is not None
        return room(found.max_connections, found.peak, found.reserved) - self.added


def plan(
    services: Sequence[Service], database: Database | None = None, measured: Measured | None = None
) -> Plan:
    """Judge them.

    Raises:
        ValueError: for no service, or numbers that make no sense.
    """
    if not services:
        raise ValueError("a plan needs at least one service")
    for service in services:
        _check_service(service)
    measured = measured or Measured()
    _check_measured(measured)
    if database is not None:
        _check_database(database)
    draft = Plan(tuple(services), database, measured, ())
    warnings = (*_of_services(draft), *_of_database(draft))
    return Plan(draft.services, database, measured, warnings)


def _check_service(service: Service) -> None:
    if service.kind not in KINDS:
        raise ValueError(f"{service.name}: kind must be {', '.join(KINDS)}, not {service.kind!r}")
    for name, least in (("tasks", 1), ("processes", 1), ("threads", 1), ("runner_connections", 0)):
        number = getattr(service, name)
        if number < least:
            raise ValueError(f"{service.name}: {name} must be {least} or more, not {number}")
    if service.pool is not None and service.pool < 1:
        raise ValueError(f"{service.name}: pool must be 1 or more, not {service.pool}")


def _check_measured(measured: Measured) -> None:
    share, held = measured.waiting_share, measured.held_at_once
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"the waiting share must be from 0 to 1, not {share}")
    if held is not None and held < 1:
        raise ValueError(f"connections held at once must be 1 or more, not {held}")


def _check_database(database: Database) -> None:
    for name, number, least in (
        ("max_connections", database.max_connections, 1),
        ("reserved_connections", database.reserved, 0),
        ("peak_connections", database.peak, 0),
    ):
        if number is not None and number < least:
            raise ValueError(f"{name} must be {least} or more, not {number}")
    if database.reserved >= database.max_connections:
        raise ValueError(
            f"reserved_connections ({database.reserved}) must be below max_connections "
            f"({database.max_connections})"
        )


def _of_services(draft: Plan) -> Iterator[str]:
    measured = draft.measured
    worthwhile = None
    if measured.waiting_share is not None:
        worthwhile = worthwhile_threads(measured.waiting_share)
    for service in draft.services:
        name, chosen, needed = service.name, service.chosen, service.needed
        if chosen < needed:
            yield (
                f"{name}: a pool of {chosen} for {service.threads} threads"
                f"{_and_runner(service)}: {needed - chosen} of them may have to wait; "
                f"{needed} would do"
            )
        elif chosen > needed:
            yield (
                f"{name}: a pool of {chosen} for {service.threads} threads"
                f"{_and_runner(service)}: {chosen - needed} are never used"
            )
        if measured.held_at_once is not None and measured.held_at_once > 1:
            floor = deadlock_floor(service.threads, measured.held_at_once)
            if chosen - service.runner_connections < floor:
                yield (
                    f"{name}: {measured.held_at_once} connections are held at once: with a pool of "
                    f"{chosen} all {service.threads} threads can wait for each other for ever; "
                    f"the smallest that cannot deadlock is {floor + service.runner_connections}"
                )
        if service.threads > MOST_THREADS:
            yield f"{name}: {service.threads} threads; more than {MOST_THREADS} are not worth it"
        elif worthwhile is not None and service.threads > worthwhile:
            yield (
                f"{name}: {service.threads} threads; with {measured.waiting_share:.0%} of the time "
                f"spent waiting the gain flattens at {worthwhile}"
            )


def _and_runner(service: Service) -> str:
    count = service.runner_connections
    if not count:
        return ""
    return f" and {count} connection{'' if count == 1 else 's'} of the job runner"


def _of_database(draft: Plan) -> Iterator[str]:
    database = draft.database
    if database is None:
        return
    half = usable(database.max_connections, database.reserved)
    given = database.max_connections - database.reserved
    if draft.total * DEPLOY > given:
        yield (
            f"all services together: {draft.total} connections, {draft.total * DEPLOY} while a "
            f"deploy doubles the tasks; the database gives out {given}: stay under {half}"
        )
    if database.peak is not None:
        if database.peak > half:
            yield (
                f"the peak of {database.peak} is above half of what the database gives out "
                f"({half}): a deploy may find none left"
            )
        if draft.room is not None and draft.room < 0 and draft.added:
            yield (
                f"{draft.added} connections are to be added, and there is room for "
                f"{max(0, draft.room + draft.added)}: lower the pools or the tasks, or raise "
                "max_connections"
            )
