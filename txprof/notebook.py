"""`%load_ext txprof`, and then `%%txprof` in a cell: the cell is profiled, the profile is shown.

What it needs of IPython it is given: IPython is not imported for it.
"""

from __future__ import annotations

import argparse
import shlex
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txprof.results import Profile

_HELP = """%%txprof [--lines NAME]... [--name NAME] [--save FILE] [-o VARIABLE]

Run the cell, watch what it does while it holds connections, and show the report. Functions that the
cell itself defines are line-profiled, and those of --lines: a function of the notebook, or a
pattern: 'app.jobs:process', 'app.research:*', 'app/research/*.py'. Of a cell that fails, the
traceback is shown, and --save and -o keep the profile.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(f"%%txprof: {message}\n\n{_HELP}")


def _parser() -> _Parser:
    parser = _Parser(prog="%%txprof", add_help=False)
    parser.add_argument("--lines", action="append", default=[])
    parser.add_argument("--name", default="cell")
    parser.add_argument("--save")
    parser.add_argument("-o", dest="variable")
    return parser


def load(shell: Any) -> None:
    """Register the cell magic in an IPython shell."""

    def txprof(line: str, cell: str) -> Profile | None:
        return run_cell(shell, line, cell)

    txprof.__doc__ = _HELP
    shell.register_magic_function(txprof, magic_kind="cell", magic_name="txprof")


def run_cell(shell: Any, line: str, cell: str) -> Profile | None:
    """Run a cell, profiled; the profile is what the notebook shows, or under -o a variable.

    The shell shows the traceback of a cell that fails. What such a cell did until then is kept all
    the same, where --save or -o ask for it.
    """
    import txprof

    arguments = _parser().parse_args(shlex.split(line))
    targets = [_target(shell, name) for name in arguments.lines]
    with txprof.profile(*targets, name=arguments.name, on_finding="ignore") as profile:
        result = shell.run_cell(cell)
    if result.error_before_exec is not None:
        return None  # a syntax error, say: lest the profile of nothing replace an earlier one
    if arguments.save:
        profile.save(arguments.save)
    if arguments.variable:
        shell.user_ns[arguments.variable] = profile
        return None
    return profile if result.success else None


def _target(shell: Any, name: str) -> Any:
    """A function of the notebook, or a pattern as it is."""
    first, *rest = name.split(".")
    found = shell.user_ns.get(first)
    for part in rest:
        found = getattr(found, part, None)
    if isinstance(found, FunctionType | type) or hasattr(found, "__wrapped__"):
        return found
    if ":" not in name and "/" not in name and not name.endswith(".py"):
        raise ValueError(f"%%txprof: --lines {name}: the notebook has no such function\n\n{_HELP}")
    return name
