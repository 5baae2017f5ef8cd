"""The commands. Each is a file here with `add(commands)`, and a line in COMMANDS.

`add` adds its parser, whose default `run` takes the arguments and returns the exit status.
"""

from __future__ import annotations

COMMANDS = ("run", "report", "show", "diff", "merge", "pool", "demo", "doctor")
"""In the order of `txprof --help`."""
