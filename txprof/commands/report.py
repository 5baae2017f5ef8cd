"""`txprof report`: the annotated report of saved profiles."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from txprof.commands.values import CommandError, positive
from txprof.report import FORMATS
from txprof.settings import COLOR


def add(commands: Any) -> None:
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
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
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
