"""What is deployed, and on which database: from a TOML file.

[database]
max_connections = 4000       # or instance_class and engine, or url
peak_connections = 1200

[web.api]                    # a table for each service: web, batch or background
tasks = 4
workers = 8
pool = 5
running = true               # the peak has it

[batch.research]
tasks = 15
threads = 8
runner_connections = 1

[background.mailer]
tasks = 2
processes = 4
connections = 5
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from txprof.pool.instances import default_max_connections
from txprof.pool.sizing import KINDS, Database, Kind, Service


class DeploymentError(ValueError):
    """What is wrong with a deployment: the place, the value, what is allowed."""


@dataclass(frozen=True, slots=True)
class About:
    """How a database is described; at most one of the first three is given."""

    max_connections: int | None = None
    instance_class: str | None = None
    url: str | None = None
    engine: str | None = None
    peak_connections: int | None = None
    reserved_connections: int | None = None

    def overridden(self, by: About) -> About:
        """With what the other one says, where it says something."""
        source = by if (by.max_connections, by.instance_class, by.url) != (None,) * 3 else self
        return About(
            source.max_connections,
            source.instance_class,
            source.url,
            by.engine or (self.engine if source.instance_class is not None else None),
            _first(by.peak_connections, self.peak_connections),
            _first(by.reserved_connections, self.reserved_connections),
        )

    def database(self) -> Database | None:
        """The database; None if nothing is said of it.

        Raises:
            DeploymentError: for a description that is not one.
            txprof.pool.server.Unreachable: when its URL leads to no server that tells.
        """
        ways = {
            "max_connections": self.max_connections,
            "instance_class": self.instance_class,
            "url": self.url,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            raise DeploymentError(f"database: give one of {' and '.join(given)}, not both")
        if not given:
            for name in ("engine", "peak_connections", "reserved_connections"):
                if getattr(self, name) is not None:
                    raise DeploymentError(
                        f"database: {name} needs max_connections, instance_class or url beside it"
                    )
            return None
        if self.engine is not None and self.instance_class is None:
            raise DeploymentError("database: engine is for an instance_class, which is missing")
        if self.url is not None:
            from txprof.pool.server import ask

            found = ask(self.url)
            return Database(
                found.max_connections,
                _first(self.reserved_connections, found.reserved) or 0,
                _first(self.peak_connections, found.peak),
                found.in_use,
                found.source,
            )
        limit, source = self.max_connections, "as given"
        if self.instance_class is not None:
            if self.engine is None:
                raise DeploymentError(
                    f"database: instance_class {self.instance_class!r} needs its engine, such as "
                    "aurora-mysql or postgresql"
                )
            limit, source = default_max_connections(self.instance_class, self.engine)
        assert limit is not None
        return Database(limit, self.reserved_connections or 0, self.peak_connections, None, source)


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


_FIELDS: dict[str, dict[str, str]] = {
    "web": {"tasks": "tasks", "workers": "processes", "threads": "threads", "pool": "pool"},
    "batch": {
        "tasks": "tasks",
        "processes": "processes",
        "threads": "threads",
        "runner_connections": "runner_connections",
        "pool": "pool",
    },
    "background": {
        "tasks": "tasks",
        "processes": "processes",
        "threads": "threads",
        "runner_connections": "runner_connections",
        "connections": "pool",
    },
}
"""Of each kind of service, its keys in the file, and what they are here."""

_ENOUGH = {
    "web": ("threads", "pool"),
    "batch": ("threads",),
    "background": ("threads", "connections"),
}
"""Of these each service needs one: else the size of its pool would be a guess."""


def read(path: Path) -> tuple[list[Service], About]:
    """The services of a file, and what it says of their database.

    Raises:
        DeploymentError: for a file that cannot be read, or an entry that is missing or unknown.
    """
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise DeploymentError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeploymentError(f"{path}: not TOML: {error}") from error
    unknown = [key for key in document if key not in (*KINDS, "database")]
    if unknown:
        raise DeploymentError(
            f"{path}: unknown table [{unknown[0]}]; there are [database], "
            + ", ".join(f"[{kind}.NAME]" for kind in KINDS)
        )
    services = [
        _service(path, kind, name, entry)
        for kind in KINDS
        for name, entry in _table(path, kind, document.get(kind, {})).items()
    ]
    if not services:
        raise DeploymentError(f"{path}: no service in it: add a table such as [batch.research]")
    return services, _about(path, _table(path, "database", document.get("database", {})))


def _table(path: Path, name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DeploymentError(f"{path}: [{name}] must be a table, not {value!r}")
    return value


def _service(path: Path, kind: Kind, name: str, entry: Any) -> Service:
    where = f"{path}: [{kind}.{name}]"
    fields = _FIELDS[kind]
    if not isinstance(entry, dict):
        raise DeploymentError(f"{where} must be a table, not {entry!r}")
    for key in entry:
        if key not in fields and key != "running":
            known = ", ".join((*fields, "running"))
            raise DeploymentError(f"{where}: unknown key {key!r}; there are {known}")
    if "tasks" not in entry:
        raise DeploymentError(f"{where}: tasks is missing: how many of them run at once?")
    needed = _ENOUGH[kind]
    if not any(key in entry for key in needed):
        raise DeploymentError(f"{where}: {' or '.join(needed)} is missing")
    running = entry.get("running", False)
    if not isinstance(running, bool):
        raise DeploymentError(f"{where}: running must be true or false, not {running!r}")
    numbers = {fields[key]: _whole(where, key, entry[key]) for key in fields if key in entry}
    if "threads" not in numbers:  # each connection is a thread's, as far as anybody said
        numbers["threads"] = max(1, numbers["pool"] - numbers.get("runner_connections", 0))
    return Service(name, kind, running=running, **numbers)


def _about(path: Path, entry: Mapping[str, Any]) -> About:
    where = f"{path}: [database]"
    texts, numbers = ("url", "instance_class", "engine"), tuple(_DATABASE_NUMBERS)
    for key, value in entry.items():
        if key not in (*texts, *numbers):
            raise DeploymentError(
                f"{where}: unknown key {key!r}; there are {', '.join((*numbers, *texts))}"
            )
        if key in texts and not isinstance(value, str):
            raise DeploymentError(f"{where}: {key} must be a string, not {value!r}")
    found: dict[str, Any] = {key: entry[key] for key in texts if key in entry}
    found |= {key: _whole(where, key, entry[key]) for key in numbers if key in entry}
    return About(**found)


_DATABASE_NUMBERS = ("max_connections", "peak_connections", "reserved_connections")


def _whole(where: str, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeploymentError(f"{where}: {key} must be a whole number, not {value!r}")
    return value
