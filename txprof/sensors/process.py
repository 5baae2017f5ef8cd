"""Other programs. Their base name is told; their arguments, which may carry secrets, are not.

A call starts with the program and goes on where it is waited for.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from txprof import callsite
from txprof.sensors.external import Described, ExternalCall, watched, watched_coroutine
from txprof.sensors.going_on import goes_on, goes_on_in_steps
from txprof.sensors.placing import Client, Target
from txprof.sensors.streams import keep

_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


def _named(program: Any) -> Described:
    """subprocess git"""
    name = re.split(r"[\\/]", os.fsdecode(program))[-1]
    # Anything else may be more than a program: an assignment to the environment, a whole line.
    return Described(
        "subprocess", f"subprocess {name}" if _PROGRAM.fullmatch(name) else "subprocess"
    )


def _line(command: Any) -> Described:
    """The first program of a line for the shell."""
    words = os.fsdecode(command).split(maxsplit=1)
    return _named(words[0] if words else "")


def _asked_by_python() -> bool:
    """Whether `platform` asks what it runs on, once: many a library has it find that out."""
    frame = sys._getframe(1)
    while not callsite.is_application(frame.f_code.co_filename):
        if frame.f_globals.get("__name__") == "platform":
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False


def _popen(_process: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    if _asked_by_python():
        return None
    command = args[0] if args else kwargs["args"]
    shell = args[8] if len(args) > 8 else kwargs.get("shell")
    executable = args[2] if len(args) > 2 else kwargs.get("executable")
    one = isinstance(command, str | bytes | os.PathLike)
    if shell:
        return _line(command if one else command[0])
    return _named(executable or (command if one else command[0]))


def _system(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _line(args[0] if args else kwargs["command"])


def _exec(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _named(args[0] if args else kwargs["program"])


def _shell(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    return _line(args[0] if args else kwargs["cmd"])


def _started(call: ExternalCall, process: Any) -> None:
    keep(call, process)


def _process(process: Any) -> tuple[Any, ...]:
    return (process,)


_SHOWN = "subprocess git"

CLIENTS = (
    Client(
        "subprocess",
        "subprocess",
        _SHOWN,
        (
            Target("subprocess", "Popen.__init__", watched(_popen, started=_started)),
            Target("subprocess", "Popen.wait", goes_on()),
            Target("subprocess", "Popen.communicate", goes_on()),
        ),
    ),
    Client("os", "subprocess", _SHOWN, (Target("os", "system", watched(_system)),)),
    Client(
        "asyncio.subprocess",
        "subprocess",
        _SHOWN,
        (
            *(
                Target(module, name, watched_coroutine(describe, _process))
                for module in ("asyncio.subprocess", "asyncio")
                for name, describe in (
                    ("create_subprocess_exec", _exec),
                    ("create_subprocess_shell", _shell),
                )
            ),
            Target("asyncio.subprocess", "Process.wait", goes_on_in_steps),
            Target("asyncio.subprocess", "Process.communicate", goes_on_in_steps),
        ),
    ),
)
