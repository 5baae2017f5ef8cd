"""The command `txprof`. What a command needs is imported when it runs.

Adding a command is adding a function that adds its parser, and a line in `_COMMANDS`.

Exit status: 0 it went well, 1 the doctor found something wrong, 2 wrong usage or something that
cannot be read, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from txprof import __version__
from txprof.report import FORMATS
from txprof.settings import COLOR

USAGE = 2
INTERRUPTED = 130


class CommandError(Exception):
    """What the user is told in one line; exit status 2."""


def main(argv: list[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit status."""
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough: `txprof report x | head`
        # What is still buffered goes nowhere; at exit Python would fail to write it again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return 0
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED


def _run(argv: list[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        _check_settings()
        status: int | None = arguments.run(arguments)
    except CommandError as error:
        _complain(f"error: {error}")
        return USAGE
    return status or 0


def _complain(message: str) -> None:
    # One line, whatever a file's name or a driver's message has in it.
    line = "".join(letter if letter.isprintable() else " " for letter in message)
    print(f"txprof: {line}", file=sys.stderr)


def _check_settings() -> None:
    from txprof.settings import current

    try:
        current()
    except (TypeError, ValueError) as error:
        raise CommandError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="txprof",
        description=(
            "Which line holds a database connection or a transaction open "
            "while the program does something else?"
        ),
        epilog="`txprof COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"txprof {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in _COMMANDS:
        add(commands)
    return parser


# --- txprof report ------------------------------------------------------------------------------


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="print the annotated report of saved profiles",
        description=(
            "Print the annotated report of recordings that Profile.save() or kernprof wrote. "
            "Several are merged into one: runs of one machine or of many, in any order."
        ),
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="what to write (default: %(default)s)"
    )
    parser.add_argument(
        "--width",
        type=_positive,
        metavar="N",
        help="columns of the text report (default: the terminal's; in a pipe as wide as the code)",
    )
    parser.add_argument(
        "--color",
        choices=COLOR,
        help="colours in the text report (default: the setting `color`, which is auto: "
        "on a terminal, unless NO_COLOR is set)",
    )
    parser.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> None:
    import txprof
    from txprof.settings import current

    try:
        profiles = [txprof.load(file) for file in arguments.files]
    except txprof.RecordingError as error:
        raise CommandError(str(error)) from error
    merged = profiles[0] if len(profiles) == 1 else txprof.merge(*profiles)
    chosen = {} if arguments.color is None else {"color": arguments.color}
    profile = txprof.Profile.of(merged.recorded, current().with_arguments(chosen))
    if arguments.format != "text":
        sys.stdout.write(profile.render(arguments.format))
    elif arguments.width is None:
        profile.print()
    else:
        profile.print(width=arguments.width)


# --- txprof demo --------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="watch a batch starve its connection pool, and the same batch fixed",
        description=(
            "Run a batch on 8 threads and a pool of 5 connections twice: holding a connection "
            "while a language model and S3 work (examples/ai_research/naive.py), and not "
            "(fixed.py). Everything runs on this machine; nothing is left behind. "
            'Needs: pip install "txprof[demo]".'
        ),
    )
    parser.add_argument(
        "--async",
        dest="asyncio",
        action="store_true",
        help="run it in 100 asyncio tasks on a pool of 10 connections (async_naive.py and "
        "async_fixed.py)",
    )
    parser.add_argument(
        "--database-url",
        metavar="URL",
        help="SQLAlchemy URL of a database to use (default: SQLite in a temporary folder); its "
        "tables txprof_demo_... are made for the demo and dropped at the end. With --async its "
        "driver is one for asyncio: asyncpg, psycopg, aiosqlite",
    )
    parser.add_argument(
        "--products",
        type=_positive,
        metavar="N",
        help="how many products to research (default: 40, with --async 100)",
    )
    parser.add_argument(
        "--llm-ms",
        type=_not_negative,
        default=150,
        metavar="MS",
        help="how long the language model takes for one of its ten answers a product, "
        "in milliseconds (default: %(default)s)",
    )
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> None:
    from txprof.demo import IN_TASKS, ON_THREADS, DemoError, run

    story = IN_TASKS if arguments.asyncio else ON_THREADS
    products = arguments.products or story.products
    try:
        run(story, arguments.database_url, products, arguments.llm_ms / 1e3)
    except DemoError as error:
        raise CommandError(str(error)) from error


# --- txprof doctor ------------------------------------------------------------------------------


def _add_doctor(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="say which libraries' calls are seen here, and try it",
        description=(
            "Import the installed libraries that txprof knows, list what of them it watches and "
            "what it does not recognise, and watch a program that is known to be bad. "
            "Exit status 1 if something is not seen that should be."
        ),
    )
    parser.set_defaults(run=_doctor)


def _doctor(_arguments: argparse.Namespace) -> int:
    from txprof.doctor import examine

    return examine()


_COMMANDS = (_add_report, _add_demo, _add_doctor)


# --- values -------------------------------------------------------------------------------------


def _positive(text: str) -> int:
    return _at_least(1, text)


def _not_negative(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, not {text!r}")
    return number
