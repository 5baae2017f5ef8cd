"""Whether txprof stays as it is for as long as a service runs: the demo's two stories, for minutes.

The batch on 8 threads and the one of 100 asyncio tasks research the same products over and over,
the variant that starves its pool and the fixed one in turns, in one profile that runs all the time.
Between two rounds nothing is under way: then every table of txprof's is looked at, the connections
that are out, and the process's size. Whatever still grows in the last third of the time is told,
and fails the run; as does a hold that is left, or a connection that is said to have leaked.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from grown import Series, Watched, megabytes, open_holds
from harness import Table

import txprof
from txprof import demo

STORIES = {"threads": demo.ON_THREADS, "tasks": demo.IN_TASKS}
SAMPLES = 60
"""So many a story, at most: looking takes time."""

FEWEST = 6
"""Rounds of a story, however little time there is: of fewer no trend can be told."""


@dataclass(frozen=True)
class Soaked:
    """How one story went."""

    story: str
    products: int
    """Researched, those included that got no connection."""
    failed: int
    watched: Watched
    profile: txprof.Profile | None

    @property
    def leaks(self) -> int:
        """Connections that are said not to have been given back."""
        findings = [] if self.profile is None else self.profile.findings
        return sum(finding.count for finding in findings if finding.rule == "connection-leak")

    @property
    def drift(self) -> int:
        """The most holds that were left between two rounds."""
        return int(max(self.watched.series["open holds"].values))

    @property
    def is_steady(self) -> bool:
        """Whether nothing grew, was left or leaked."""
        return not (self.watched.growing or self.leaks or self.drift)


def soak(name: str, seconds: float, options: argparse.Namespace, watched: Watched) -> Soaked:
    """Run one story for so long, at least for a few rounds."""
    story = STORIES[name]
    products = options.products or story.products
    folder = demo.load_example()
    models = demo.part("models")
    variants = [demo.part(module).process for module in (story.naive, story.fixed)]
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="txprof-soak-"))
        url = options.database_url or f"sqlite:///{Path(temporary) / 'products.db'}"
        workers = stack.enter_context(demo.part(story.batch).connected(url))
        stack.enter_context(models.tables(workers.within, products))
        stack.enter_context(servers(options.llm_seconds))
        profile = None
        if not options.bare:
            profile = stack.enter_context(
                txprof.profile(
                    *variants, on_finding="ignore", application=(str(folder),), name=name
                )
            )
        done = failed = rounds = 0
        started = time.monotonic()
        due = 0.0
        while rounds < FEWEST or time.monotonic() - started < seconds:
            for process in variants:
                workers.within(models.clear)
                outcome = workers.run(process, range(1, products + 1))
                done += products
                failed += outcome.failed
            rounds += 1
            elapsed = time.monotonic() - started
            if rounds <= FEWEST or elapsed >= due:
                watched.sample(elapsed)
                due = elapsed + seconds / SAMPLES
    return Soaked(name, done, failed, watched, profile)


@contextmanager
def servers(llm_seconds: float) -> Iterator[None]:
    """What the stories talk to, in a process of its own: its memory is none of ours."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, llm_seconds))
    process.start()
    theirs.close()
    try:
        with ours, demo.part("services").connected(*ours.recv()):
            yield
    finally:  # the pipe is closed: that ends it
        process.join()


def _serve(pipe: Connection, llm_seconds: float) -> None:
    demo.load_example()
    with demo.part("services").started(llm_seconds) as (_, *urls):
        pipe.send(urls)
        with suppress(EOFError):  # until whoever started us closes it, or is gone
            pipe.recv()


def table_of(soaked: Soaked) -> Table:
    """What changed: first, last, and the slope after the warm-up."""
    watched = soaked.watched
    table = Table(
        f"{soaked.story}: {soaked.products:,} products ({soaked.failed:,} without a connection) "
        f"in {watched.times[-1] / 60:.1f} minutes, {len(watched.times)} samples",
        *("what", "first", "last", "a minute", "verdict"),
    )
    constant = 0
    for name, series in sorted(watched.series.items(), key=_resident_first):
        if len(set(series.values)) == 1 and name != "open holds":
            constant += 1
            continue
        write = megabytes if name == "resident bytes" else _count
        table.add(
            name.replace("bytes", "MB"),
            write(series.values[0]),
            write(series.values[-1]),
            f"{series.slope(watched.times) / (1e6 if write is megabytes else 1):+.2f}",
            watched.verdict(name),
        )
    table.note(f"{constant} other tables never changed")
    table.note("fills: it has a bound, which it is below")
    table.note(f"leaked connections: {soaked.leaks}; holds left between rounds: {soaked.drift}")
    table.note("steady" if soaked.is_steady else "NOT STEADY: " + _why(soaked))
    return table


def _resident_first(item: tuple[str, Series]) -> tuple[bool, bool, str]:
    return item[0] != "resident bytes", item[0] != "open holds", item[0]


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _why(soaked: Soaked) -> str:
    reasons = [f"{name} grows" for name in soaked.watched.growing]
    reasons += [f"{soaked.drift} holds were left"] if soaked.drift else []
    reasons += [f"{soaked.leaks} connections leaked"] if soaked.leaks else []
    return ", ".join(reasons)


@contextmanager
def leaking(leaks: bool) -> Iterator[None]:
    """While a table of txprof's grows with every external call, if that is asked for."""
    if not leaks:
        yield
        return
    external: Any = importlib.import_module("txprof.sensors.external")
    external.leaked = []
    original: Callable[..., object] = external.ExternalCall.__init__

    def leaks_one(self: object, *arguments: object, **named: object) -> None:
        external.leaked.append(object())
        original(self, *arguments, **named)

    external.ExternalCall.__init__ = leaks_one
    try:
        yield
    finally:
        external.ExternalCall.__init__ = original
        del external.leaked


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="of each story (default: %(default)g)"
    )
    parser.add_argument("--story", choices=STORIES, help="one of them (default: both)")
    parser.add_argument("--products", type=int, help="a round (default: the demo's)")
    parser.add_argument(
        "--llm-seconds", type=float, default=0.02, help="of one answer (default: %(default)g)"
    )
    parser.add_argument("--database-url", metavar="URL", help="default: SQLite, in a folder")
    parser.add_argument(
        "--bare",
        action="store_true",
        help="the same without txprof: what memory the stories take",
    )
    parser.add_argument(
        "--leak", action="store_true", help="let a table grow: shows that it would be seen"
    )
    options = parser.parse_args()
    if not 0 < options.minutes < float("inf"):
        parser.error("--minutes must be more than 0")
    logging.getLogger("txprof").addHandler(logging.NullHandler())
    steady = True
    for name in [options.story] if options.story else STORIES:
        watched = Watched({"open holds": open_holds})
        with leaking(options.leak):
            soaked = soak(name, options.minutes * 60, options, watched)
        print(table_of(soaked), flush=True)
        steady = steady and soaked.is_steady
    return 0 if steady else 1


if __name__ == "__main__":
    sys.exit(main())
