"""`txprof report`: saved profiles, judged and written in a format."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from txprof.commands.gate import FOUND, add_fail_on, failing
from txprof.commands.recordings import NAMED, found, read
from txprof.commands.values import CommandError, positive
from txprof.model import SEVERITIES
from txprof.report import FORMATS
from txprof.settings import COLOR

SORTS = ("severity", "seconds", "count", "place")


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="report on saved profiles: text, HTML, Markdown, SARIF and more",
        description=(
            "Judge recordings that Profile.save(), `txprof run` or kernprof wrote, and report. "
            "Several are merged into one: runs of one machine or of many, in any order. "
            "Exit status: 0; 1 if --fail-on names a finding; 2 if something cannot be read."
        ),
    )
    parser.add_argument("files", nargs="+", metavar="FILE|DIR|PATTERN", help=NAMED)
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        help="where to write it (default: standard output, also for -)",
    )
    parser.add_argument(
        "--width",
        type=positive,
        metavar="N",
        help="columns of the text report (default: the terminal's; in a pipe as wide as the code)",
    )
    parser.add_argument(
        "--color",
        choices=COLOR,
        help="colours in the text report (default: the setting `color`, which is auto: "
        "on a terminal, unless NO_COLOR is set)",
    )
    parser.add_argument(
        "--simulate",
        action="store_true",
        help="in the HTML report also what pools of other sizes would do",
    )
    add_selection(parser)
    add_fail_on(parser)
    parser.set_defaults(run=run)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which findings and functions: for a `selection.Selection`."""
    group = parser.add_argument_group("what is in it")
    group.add_argument(
        "--rule", action="append", default=[], metavar="RULE", help="findings of this rule; repeat"
    )
    group.add_argument("--severity", choices=SEVERITIES, help="findings as bad as this, or worse")
    group.add_argument(
        "--path",
        action="append",
        default=[],
        metavar="GLOB",
        help="what lies in such files or folders, from the project's root: 'app/jobs'; repeat",
    )
    group.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="GLOB",
        help="what lies in such functions: 'process', 'Researcher.*'; repeat",
    )
    group.add_argument(
        "--sort", choices=SORTS, default="severity", help="findings by this (default: %(default)s)"
    )
    group.add_argument(
        "--top", type=positive, metavar="N", help="so many findings, and functions, at most"
    )


def run(arguments: argparse.Namespace) -> int:
    import txprof
    from txprof.report.selection import Selection
    from txprof.settings import current

    if arguments.simulate and arguments.format != "html":
        raise CommandError("--simulate is for --format html; elsewhere, txprof pool simulate")
    try:
        selection = Selection(
            rules=tuple(arguments.rule),
            severity=arguments.severity,
            paths=tuple(arguments.path),
            functions=tuple(arguments.function),
            sort=arguments.sort,
            top=arguments.top,
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    recorded = read(found(arguments.files)).recorded
    chosen = {} if arguments.color is None else {"color": arguments.color}
    profile = txprof.Profile.of(recorded, current().with_arguments(chosen))
    # Before --top: what is not shown fails all the same.
    failed = failing(selection.findings(profile), arguments.fail_on)
    _write(selection.of(profile), arguments)
    if failed:
        print(f"txprof: {_told(failed)}", file=sys.stderr)
    return FOUND if failed else 0


def _write(profile: Any, arguments: argparse.Namespace) -> None:
    text = arguments.format == "text"
    options = {"width": arguments.width} if text and arguments.width is not None else {}
    if arguments.simulate:
        options["simulate"] = True
    if arguments.output not in (None, "-"):
        if text:
            options["color"] = arguments.color == "always"
        save(arguments.output, profile.render(arguments.format, **options))
    elif text:
        profile.print(**options)
    else:
        write_utf8(profile.render(arguments.format))


def write_utf8(text: str) -> None:
    """To standard output; documents say that they are UTF-8, whatever the terminal's is."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode("utf-8", "backslashreplace"))


def save(name: str, text: str) -> None:
    """To a file, whole or not at all; into a device or a pipe that is there as it comes."""
    from txprof.recording import write

    path, data = Path(name), text.encode("utf-8", "backslashreplace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            write(path, data)
    except OSError as error:
        raise CommandError(f"{name}: cannot be written: {error.strerror or error}") from error


def _told(failed: list[Any]) -> str:
    from txprof.report.words import tally

    return f"{tally(failed)} that --fail-on names"
