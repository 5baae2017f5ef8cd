"""One table of every budget, for the terminal and for docs/performance.md.

Run as a program it tells, as JSON, what machine and which versions it runs on. Needs nothing but
the standard library.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass

import pages
from pages import DOCS, ROOT

sys.path.append(str(ROOT / "benchmarks"))

from budgets import BUDGETS, Row

PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- make bench-docs: begin -->", "<!-- make bench-docs: end -->"

VERSIONS = (
    "txprof",
    "sqlalchemy",
    "line_profiler",
    "opentelemetry-sdk",
    "sentry-sdk",
    "sqltap",
    "queryspy",
    "pyinstrument",
    "scalene",
    "psycopg",
    "asyncpg",
)
"""Told where they are installed."""

HEADERS = ("what", "figure", "spread", "median", "budget", "verdict", "at")


@dataclass(frozen=True)
class Machine:
    """What a run was on."""

    python: str
    optimized: bool
    """Whether that interpreter was built with profile-guided optimization."""
    system: str
    processor: str
    processors: int
    memory: int
    """Bytes; 0 where that is not told."""
    versions: dict[str, str]
    date: str

    @classmethod
    def here(cls) -> Machine:
        """This one, now."""
        return cls(
            python=platform.python_version(),
            optimized="--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
            system=f"{platform.system()} {platform.machine()}",
            processor=_processor(),
            processors=os.cpu_count() or 1,
            memory=_memory(),
            versions={name: version for name in VERSIONS if (version := _version(name))},
            date=datetime.date.today().isoformat(),
        )

    def __str__(self) -> str:
        built = "" if self.optimized else " (not built with --enable-optimizations)"
        memory = f", {self.memory / 2**30:.0f} GiB" if self.memory else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"CPython {self.python}{built}, {self.date}. {self.system}, {self.processors} "
            f"processors ({self.processor}){memory}. {versions}."
        )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return (names or [platform.processor() or "unknown"])[0]


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Measured:
    """What one run of the benchmarks found."""

    rows: list[Row]
    machine: Machine
    quick: bool = False
    """Whether of a few samples: then it says that they are no figures."""

    def summary(self, *, every_budget: bool = True) -> list[tuple[str, ...]]:
        """A line for each budget: of what was measured of it, what came closest to it."""
        found = []
        for budget, what in BUDGETS.items():
            rows = [row for row in self.rows if row.budget == budget]
            if rows:
                worst = max(rows, key=lambda row: row.used)
                at = worst.what if len(rows) == 1 else f"{worst.what} (worst of {len(rows)})"
                found.append((what, *_figures(worst), at))
            elif every_budget:
                found.append((what, "", "", "", "", "-", "not measured here"))
        return found

    def text(self, *, every_budget: bool = True) -> str:
        """For the terminal."""
        table = [HEADERS, *self.summary(every_budget=every_budget)]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(HEADERS))]
        title = "Every budget" if every_budget else "Their budgets"
        lines = [title + ", of a few samples: these are no figures" * self.quick, ""]
        for cells in table:
            numbers = (cell.rjust(width) for cell, width in zip(cells[1:6], widths[1:6]))  # noqa: B905
            lines.append("  ".join([cells[0].ljust(widths[0]), *numbers, cells[6]]).rstrip())
        over = sum(row.verdict == "OVER" for row in self.rows)
        lines += ["", f"{over} of {len(self.rows)} rows are over their budget", str(self.machine)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """A section for the page: the same, and then each row."""
        rows = [(row.what, *_figures(row), BUDGETS[row.budget]) for row in self.rows]
        return "\n".join(
            [
                f"### CPython {self.minor}",
                "",
                str(self.machine),
                "",
                *_markdown(HEADERS, self.summary()),
                "",
                "<details><summary>Every row</summary>",
                "",
                *_markdown((*HEADERS[:6], "of"), rows),
                "",
                "</details>",
            ]
        )

    @property
    def minor(self) -> str:
        """3.13"""
        return ".".join(self.machine.python.split(".")[:2])


def _figures(row: Row) -> tuple[str, ...]:
    return (
        _number(row.figure),
        "" if row.spread is None else f"±{_number(row.spread)}",
        "" if row.median is None else _number(row.median),
        f"{_number(row.limit)} {row.unit}".strip(),
        row.verdict,
    )


def _number(value: float) -> str:
    return f"{value:.2f}".removesuffix(".00")


def _markdown(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(headers), "|---|--:|--:|--:|--:|---|---|", *map(line, rows)]


_SECTION = re.compile(r"^### CPython 3\.(\d+)$", re.MULTILINE)


def placed(page: str, measured: Measured) -> str:
    """The page, with this section instead of the one of the same Python; newest Python first."""
    before, inside, after = pages.between(page, BEGIN, END)
    _, *parts = _SECTION.split(inside)
    sections = {
        int(minor): f"### CPython 3.{minor}{text}".strip()
        for minor, text in zip(parts[::2], parts[1::2], strict=True)
    }
    sections[int(measured.minor.partition(".")[2])] = measured.markdown()
    told = "\n\n".join(section for _, section in sorted(sections.items(), reverse=True))
    return f"{before}\n{told}\n{after}"


def write(measured: Measured) -> None:
    """Put what was measured into the page."""
    pages.write(PAGE, placed(PAGE.read_text(encoding="utf-8"), measured))


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(Machine.here())))
