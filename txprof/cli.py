"""The command `txprof`. What a command needs is imported when it runs.

Adding a command is adding a file to `txprof/commands/`, and a line in its table.

Exit status: 0 it went well (`txprof run`: that of the program); 1 something was found (a finding
that `--fail-on` names, a `diff` that got worse, something that the doctor does not see); 2 wrong
usage, or something that cannot be read or written; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from txprof import __version__
from txprof.commands import COMMANDS
from txprof.commands.values import CommandError

USAGE = 2
INTERRUPTED = 130


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
    parser = _parser()
    _complete(parser)
    arguments = parser.parse_args(argv)
    try:
        _check_settings()
        status: int | None = arguments.run(arguments)
    except CommandError as error:
        _complain(f"error: {error}")
        return USAGE
    return status or 0


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell that asks what may come next, and leave; argcomplete is not required."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


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
        epilog="`txprof COMMAND --help` tells more about a command. Exit status: 0 it went well, "
        "1 something was found that --fail-on names, 2 wrong usage or something that cannot be "
        "read, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"txprof {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"txprof.commands.{name}").add(commands)
    return parser
