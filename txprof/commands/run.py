"""`txprof run`: a whole program, profiled."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from txprof.commands.gate import FOUND, add_fail_on, failing
from txprof.commands.values import CommandError
from txprof.report import FORMATS

if TYPE_CHECKING:
    from txprof.programs.orders import Orders
    from txprof.results import Profile

NO_REPORT = "none"

USAGE = 2
"""Exit status of a program that ended well, where something cannot be written."""


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "run",
        allow_abbrev=False,  # what follows the program is the program's
        usage="txprof run [options] (SCRIPT | -m MODULE | -c CODE) [args...]",
        help="run a program, and report what it did while it held connections",
        description=(
            "Run a program as `python` would, watch it and the processes that it forks or starts "
            "through multiprocessing, and report when it ends. The exit status is the program's "
            "own, or 1 where it is 0 and --fail-on found something."
        ),
        epilog="Options after the program are the program's.",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("-m", dest="is_module", action="store_true", help="a module, as python -m")
    kind.add_argument("-c", dest="is_code", action="store_true", help="code, as python -c")
    parser.add_argument(
        "--lines",
        action="append",
        default=[],
        metavar="PATTERN",
        help="line-profile functions: 'app.jobs:process', 'app.research:*', those of files: "
        "'app/research/*.py', or `auto`: those that open transactions (may be repeated)",
    )
    parser.add_argument(
        "--save",
        metavar="FILE|DIR",
        help="write a recording; to a folder (one that exists, or a name that ends in /) each "
        "process writes its own",
    )
    parser.add_argument(
        "--report",
        action="append",
        type=_report,
        metavar="FORMAT[=FILE]",
        help=f"how to report: {', '.join((*FORMATS, NO_REPORT))}; to stderr, or to a file, `-` "
        "being stdout (default: text; may be repeated)",
    )
    add_fail_on(parser)
    parser.add_argument(
        "--children",
        action="store_true",
        help="also watch Python programs that the program runs as subprocesses "
        "(the setting `children`)",
    )
    parser.add_argument(
        "-b",
        "--builtin",
        action="store_true",
        help="make `profile` a builtin that line-profiles what it decorates, as kernprof does",
    )
    parser.add_argument(
        "program",
        nargs=argparse.PARSER,
        metavar="PROGRAM",
        help="the script, module or code, and its arguments",
    )
    parser.set_defaults(run=run)


class Report(NamedTuple):
    """A format, and the file it goes to; None is stderr."""

    format: str
    file: str | None


def _report(text: str) -> Report:
    format, equals, file = text.partition("=")
    if format not in (*FORMATS, NO_REPORT):
        known = ", ".join((*FORMATS, NO_REPORT))
        raise argparse.ArgumentTypeError(f"unknown format {format!r}; known are {known}")
    if equals and not file:
        raise argparse.ArgumentTypeError(f"{text!r} names no file; write {format}=FILE")
    return Report(format, file or None)


def run(arguments: argparse.Namespace) -> int:
    from txprof.programs import launch
    from txprof.programs.orders import environment
    from txprof.settings import enabled

    command = _command(arguments)
    if not enabled():
        print("txprof: TXPROF is 0: the program is not watched", file=sys.stderr)
        return _ended(launch.run(command, dict(os.environ)))
    options = launch.unreachable()
    if options:
        raise CommandError(
            f"a program cannot be watched under python's option {' '.join(options)}: "
            "run txprof without it"
        )
    with ExitStack() as stack:
        orders = stack.enter_context(_orders(arguments))
        status = launch.run(command, environment(orders))
        told = _tell(orders, arguments)
    return _ended(status or told)


def _command(arguments: argparse.Namespace) -> list[str]:
    """The command line of the program, for Python."""
    from txprof.programs.launch import python

    target, *rest = arguments.program
    if arguments.is_module:
        return [*python(), "-m", target, *rest]
    if arguments.is_code:
        return [*python(), "-c", target, *rest]
    if target != "-" and not os.path.exists(target):
        beside = os.path.dirname(sys.executable)  # first those of this environment, active or not
        found = shutil.which(target, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
        if found is None or os.sep in target:
            raise CommandError(f"there is no file {target!r}; to run a module, write -m {target}")
        target = found  # an installed script, as kernprof finds it: `txprof run gunicorn app:app`
    return [*python(), target, *rest]


@contextmanager
def _orders(arguments: argparse.Namespace) -> Iterator[Orders]:
    """The orders for the processes of this run, with the folder that they write to."""
    from txprof.programs.orders import Orders
    from txprof.settings import current

    settings = current()
    patterns = [pattern for pattern in arguments.lines if pattern != "auto"]
    if patterns:
        _check_patterns(patterns)
    over: dict[str, Any] = {}
    if "auto" in arguments.lines:
        over["lines"] = "auto"
    if settings.on_finding == "log":
        over["on_finding"] = "ignore"  # the report tells
    with ExitStack() as stack:
        folder = _folder(arguments.save)
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="txprof-")))
        name = _name(arguments)
        safe = "".join(letter if letter.isalnum() else "_" for letter in name)[:50]
        orders = Orders(
            folder=str(folder.absolute()),
            stem=f"{safe}-{secrets.token_hex(4)}",
            name=name,
            lines=tuple(patterns),
            settings=over,
            builtin=arguments.builtin,
            children=arguments.children or settings.children,
            is_main=True,
        )
        yield orders
        for left in folder.glob(f".{orders.stem}-*.tmp"):  # of a process that was killed
            left.unlink(missing_ok=True)


def _check_patterns(patterns: list[str]) -> None:
    from txprof.lines.names import named

    for pattern in patterns:
        try:
            named(pattern)
        except ValueError as error:
            raise CommandError(str(error).replace("profile() was given", "--lines:")) from error


def _name(arguments: argparse.Namespace) -> str:
    if arguments.is_code:
        return "-c"
    target: str = arguments.program[0]
    return target if arguments.is_module else os.path.basename(target.rstrip(os.sep)) or target


def _folder(save: str | None) -> Path | None:
    """The folder that the parts are to stay in; None if they are to be merged into a file."""
    if save is None:
        return None
    path = Path(save)
    try:
        if save.endswith(os.sep):
            path.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            with tempfile.TemporaryFile(dir=path):
                return path
        with tempfile.TemporaryFile(dir=path.parent):
            return None
    except OSError as error:
        # Now, not after hours of a program that ran for nothing.
        raise CommandError(f"--save {save}: cannot be written: {error.strerror}") from error


def _tell(orders: Orders, arguments: argparse.Namespace) -> int:
    """Save and report what the processes wrote; returns the status where the program's is 0.

    What cannot be written is said, and hides neither the rest nor how the program ended.
    """
    import txprof
    from txprof.settings import current

    profiles = []
    for part in orders.parts():
        try:
            profiles.append(txprof.load(part))
        except txprof.RecordingError as error:
            print(f"txprof: left out: {error}", file=sys.stderr)
    reports = arguments.report or [Report("text", None)]
    if not profiles:
        unread = all(each.format == NO_REPORT for each in reports)
        if unread and not arguments.save and not arguments.fail_on:
            return 0
        print("txprof: the program ended before anything was recorded", file=sys.stderr)
        return 0
    merged = profiles[0] if len(profiles) == 1 else txprof.merge(*profiles)
    profile = txprof.Profile.of(merged.recorded, current())
    status = FOUND if failing(profile.findings, arguments.fail_on) else 0
    if arguments.save is not None and not Path(arguments.save).is_dir():
        try:
            profile.save(arguments.save)
        except OSError as error:
            status = _not_written("--save", arguments.save, error)
    for report in reports:
        try:
            _write(profile, report)
        except OSError as error:
            status = _not_written("--report", report.file, error)
    return status


def _not_written(option: str, file: str | None, error: OSError) -> int:
    print(f"txprof: error: {option} {file}: {error.strerror or error}", file=sys.stderr)
    return USAGE


def _write(profile: Profile, report: Report) -> None:
    if report.format == NO_REPORT:
        return
    if report.file in (None, "-"):
        stream = sys.stderr if report.file is None else sys.stdout
        if report.format == "text":
            profile.print(stream)
        else:
            stream.flush()
            stream.buffer.write(profile.render(report.format).encode("utf-8", "backslashreplace"))
            stream.flush()
        return
    from txprof.recording import write

    assert report.file is not None
    write(Path(report.file), profile.render(report.format).encode("utf-8", "backslashreplace"))


def _ended(status: int) -> int:
    from txprof.programs.launch import die_of

    if status < 0:
        sys.stdout.flush()
        sys.stderr.flush()
        die_of(-status)
    return status
