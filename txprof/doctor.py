"""`txprof doctor`: which libraries' calls are seen here, and whether a bad program is caught."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import platform
import sys
import warnings
from typing import NamedTuple

import txprof
from txprof import compiled, sensors
from txprof.sensors import placing
from txprof.sensors.placing import Client, Target


class Examined(NamedTuple):
    """An installed client: its version, how much of it is watched, and what is not there."""

    client: Client
    version: str
    watched: int
    missing: tuple[str, ...]


def examine() -> int:
    """Print what was found; 0 if all is seen that can be of what is installed, else 1."""
    found = [examined(client) for client in sensors.clients()]
    installed = [one for one in found if one is not None]
    print(f"txprof {txprof.__version__}, {_python()}, SQLAlchemy {_version('sqlalchemy')}")
    print(f"statements are watched by {_watched_by()}\n")
    _print_table(installed)
    absent = [client.name for client, one in zip(sensors.clients(), found, strict=True) if not one]
    if absent:
        print(f"\nnot installed: {', '.join(absent)}")
    healthy = True
    for one in installed:
        for name in one.missing:
            healthy = False
            print(f"\nnot recognised: {name} of {one.client.name} {one.version}")
            print("Calls through it are not seen: mark them (txprof.external_call, txprof.watch).")
        if one.client.unseen:
            compiled = ", ".join(one.client.unseen)
            print(f"\nnot recognised: {compiled} of {one.client.name} {one.version}: compiled")
            print("Calls through it are not seen: mark them (txprof.external_call).")
    seen = sample_is_seen()
    print(f"\na call in a transaction, to try it: {'seen' if seen else 'NOT SEEN'}")
    return 0 if healthy and seen else 1


def examined(client: Client) -> Examined | None:
    """Import an installed client and look at what of it is watched; None if it is not installed."""
    targets = [target for target in client.targets if is_installed(target)]
    if not targets:
        return None
    sensors.install()
    targets = [target for target in targets if _has_what_it_needs(target)]
    watched = [target for target in targets if placing.is_watched(target)]
    missing = [
        f"{one.module}:{one.attribute}"
        for one in targets
        if one not in watched and not one.optional
    ]
    return Examined(client, _version(client.name), len(watched), tuple(missing))


def sample_is_seen() -> bool:
    """Whether an external call inside a transaction is found, here and now."""
    from sqlalchemy import create_engine, text

    engine = create_engine("sqlite://")
    try:
        with (
            txprof.profile(on_finding="ignore", allow_kinds=(), disable=(), lines=None) as profile,
            engine.begin() as connection,
        ):
            connection.execute(text("SELECT 1"))
            with txprof.external_call("rpc", "a sample"):
                pass
    finally:
        engine.dispose()
    return any(finding.rule == "io-in-transaction" for finding in profile.findings)


def is_installed(target: Target) -> bool:
    """Whether the library of a target is there, imported or not."""
    library = target.module.partition(".")[0]
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # a module that is no package, a stand-in without a spec
        return library in sys.modules


def _has_what_it_needs(target: Target) -> bool:
    """Import it; False if another library is missing for that, as one of an extra may be."""
    # What a library prints or warns of when it is imported is not the doctor's to tell.
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(target.module)
        except ModuleNotFoundError as error:
            library = target.module.partition(".")[0]
            return (error.name or library).partition(".")[0] == library
    return True


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # of the standard library
        return platform.python_version()


def _watched_by() -> str:
    if compiled.fast is not None:
        return "compiled code"
    return f"plain Python, which takes longer ({compiled.why_not})"


def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def _print_table(installed: list[Examined]) -> None:
    rows = [("client", "version", "kind", "watched", "a call")]
    for one in installed:
        whole = f"{one.watched} of {one.watched + len(one.missing)}"
        rows.append((one.client.name, one.version, one.client.kind, whole, one.client.shown))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
