"""Starting a program, handing signals on to it, and ending as it ended."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence

_UNREACHABLE = {"-I": "isolated", "-E": "ignore_environment", "-S": "no_site"}
"""Options of Python under which it does not look where we tell it to."""

_TYPED = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
"""What a terminal sends to every process of its foreground group."""

_FORWARDED = frozenset(
    getattr(signal, name)
    for name in (
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGTERM",
        "SIGUSR1",
        "SIGUSR2",
        "SIGTTIN",
        "SIGTTOU",
        "SIGWINCH",
    )
    if hasattr(signal, name)
)


def unreachable() -> list[str]:
    """The options that this Python was started with and that keep a program from being watched."""
    return [option for option, flag in _UNREACHABLE.items() if getattr(sys.flags, flag)]


def python() -> list[str]:
    """This Python, with the options that it was started with."""
    # Private; multiprocessing has them from there too.
    flags = getattr(subprocess, "_args_from_interpreter_flags", None)
    return [sys.executable, *(flags() if flags else [])]


def run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a program to its end: its status, or minus the signal that ended it.

    It gets every signal that this process gets, once. What is typed at the terminal reaches it by
    itself.
    """
    # Those that are ignored, under `nohup` say, stay so here and there.
    wanted = {each for each in _FORWARDED if signal.getsignal(each) is not signal.SIG_IGN}
    awaited = wanted | {signal.SIGCHLD}
    # Ignored, it would not be waited for everywhere; blocked, this is never called.
    children = signal.signal(signal.SIGCHLD, lambda *_: None)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    try:
        pid = os.posix_spawn(command[0], list(command), environment, setsigmask=before)
        while True:
            number, typed = _next(awaited)
            if number != signal.SIGCHLD:
                if not typed:
                    os.kill(pid, number)
                continue
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
    finally:
        _drain(awaited)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGCHLD, children)


def die_of(number: int) -> None:
    """End as the program did, so that whoever waits for us sees the same."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's core is the one to look at
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


def _next(awaited: set[int]) -> tuple[int, bool]:
    """The next signal, and whether the terminal sent it."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(awaited)
        return info.si_signo, info.si_code > 0 and info.si_signo in _TYPED
    number = signal.sigwait(awaited)
    return number, number in _TYPED and os.isatty(0)


def _drain(awaited: set[int]) -> None:
    """Forget what came when the program was over already: it is not for the report to die of."""
    while signal.sigpending() & awaited:
        signal.sigwait(awaited)
