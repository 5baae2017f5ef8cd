"""`txprof merge`: many recordings into one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from txprof.commands.recordings import NAMED, found, read
from txprof.commands.values import CommandError


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "merge",
        help="merge recordings into one",
        description=(
            "Merge recordings, of one machine or of many, in any order, and save the sum. "
            "A name that ends in .lprof makes a file for line_profiler."
        ),
    )
    parser.add_argument("out", metavar="OUT", help="where to save it")
    parser.add_argument("files", nargs="+", metavar="FILE|DIR|PATTERN", help=NAMED)
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from txprof.report.words import counted

    out = Path(arguments.out)
    # Who forgets OUT would have it replaced: it is the first of the files then.
    if out.exists() and not arguments.force:
        raise CommandError(f"{out}: is there already; --force replaces it")
    files = [file for file in found(arguments.files) if not _same(file, out)]
    if not files:
        raise CommandError(f"nothing to merge into {out} but {out} itself")
    profile = read(files)
    try:
        profile.save(out)
    except OSError as error:
        raise CommandError(f"{out}: cannot be written: {error.strerror or error}") from error
    runs = counted(profile.recorded.runs, "run")
    print(f"{out}: {counted(len(files), 'recording')}, {runs}")


def _same(file: Path, out: Path) -> bool:
    return file.exists() and out.exists() and file.samefile(out)
