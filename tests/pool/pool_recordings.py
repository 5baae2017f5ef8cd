"""Recordings that the commands read: of jobs that hold a connection and do without by turns."""

from __future__ import annotations

from collections.abc import Callable

from helpers import FakeClock
from sqlalchemy import Engine, text
from sqlalchemy.pool import QueuePool

import txprof

Make = Callable[..., Engine]


STORY = ("--tasks", 15, "--threads", 8, "--runner-connections", 1)
"""The deployment of the story, as options."""


def record(engine: Engine, fake: FakeClock, jobs: int, *, nested: bool = False) -> txprof.Profile:
    """Each job holds for 1 s, 0.9 of it in a call, and then does without for 0.25 s."""
    with txprof.profile(on_finding="ignore") as prof:
        for _ in range(jobs):
            with engine.begin() as connection:
                connection.execute(text("SELECT 1"))
                fake.tick(0.1)
                with txprof.external_call("http", "POST https://llm.example.com/v1/chat"):
                    fake.tick(0.9)
                if nested:
                    with engine.connect():
                        pass
            fake.tick(0.25)
    return prof


def pool_of_five(made: Make, url: str) -> Engine:
    return made(url, poolclass=QueuePool, pool_size=5, max_overflow=0, pool_timeout=30)
