"""`txprof doctor`: what is seen here."""

from __future__ import annotations

import argparse
from typing import Any


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
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    from txprof.doctor import examine

    return examine()
