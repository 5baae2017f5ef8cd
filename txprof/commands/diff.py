"""`txprof diff`: what was fixed, what is new, what moved."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from txprof.commands.gate import FOUND, add_fail_on, failing
from txprof.commands.recordings import NAMED, found, read
from txprof.commands.report import write_utf8
from txprof.commands.values import positive
from txprof.settings import COLOR

FORMATS = ("text", "markdown", "json")


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "diff",
        help="compare two recordings: what was fixed, what is new, what moved",
        description=(
            "Compare two recordings, or folders or patterns of them, per profiled call. "
            "Findings are the same ones if rule, file, function and target are: lines may move. "
            "Exit status: 0; 1 if it got worse (a new finding that --fail-on names, or a function "
            "that --slower names); 2 if something cannot be read."
        ),
    )
    parser.add_argument("before", metavar="BEFORE", help=NAMED)
    parser.add_argument("after", metavar="AFTER", help="the same")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="what to write (default: %(default)s)"
    )
    parser.add_argument("--color", choices=COLOR, help="colours in the text")
    add_fail_on(parser, default="warning, of those that are new")
    parser.add_argument(
        "--slower",
        type=positive,
        metavar="PERCENT",
        help="worse, too, if a function holds a connection for so much longer per call",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from txprof.report import difference, print_lines
    from txprof.report.comparison import compare, verdict
    from txprof.settings import current

    before, after = (read(found([name])) for name in (arguments.before, arguments.after))
    comparison = compare(before, after)
    failed = failing(comparison.new, arguments.fail_on or ["warning"])
    said = verdict(comparison, failed, arguments.slower)
    if arguments.format == "markdown":
        write_utf8(difference.as_markdown(comparison, said))
    elif arguments.format == "json":
        write_utf8(difference.as_json(comparison, said))
    else:
        color = arguments.color or current().color
        print_lines(difference.text(comparison, said), sys.stdout, color)
    return FOUND if said.worse else 0
