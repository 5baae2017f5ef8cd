"""`txprof doctor`: what is seen here."""

from __future__ import annotations

import argparse
from typing import Any

from txprof.commands.values import CommandError


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="say which libraries' calls are seen here, and try it",
        description=(
            "Import the installed libraries that txprof knows, list what of them it watches and "
            "what it does not recognise, and watch a program that is known to be bad. "
            "Exit status 1 if something is not seen that should be."
        ),
    )
    parser.add_argument(
        "--pytest",
        nargs=argparse.REMAINDER,
        metavar="ARGUMENT",
        help="run pytest with these arguments for one test, and tell which connections were open "
        "when its call began, who opened them, and what counted",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    if arguments.pytest is not None:
        return _pytest(arguments.pytest)
    from txprof.doctor import examine

    return examine()


def _pytest(arguments: list[str]) -> int:
    try:
        from pytest_txprof.explain import explain
    except ImportError as error:
        raise CommandError(f"doctor --pytest: {error}: pip install pytest") from error
    return explain(arguments)
