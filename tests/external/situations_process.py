"""What programs do with other programs: subprocess, os.system, asyncio."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from situations import Situation

PYTHON = Path(sys.executable).name
_COMMAND = [sys.executable, "-c", "print('a')", "--token=secret"]
_FAILS = [sys.executable, "-c", "raise SystemExit(3)", "--token=secret"]


def _run(_: Any) -> Any:
    return subprocess.run(_COMMAND, check=True, capture_output=True).stdout


def _fails(_: Any) -> Any:
    return subprocess.run(_FAILS, check=True)


def _missing(_: Any) -> Any:
    return subprocess.run(["/nowhere/no-such-program", "secret"], check=True)


def _times_out(_: Any) -> Any:
    code = "import time; time.sleep(60)"
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=0.4)


def _popen(_: Any) -> Any:
    with subprocess.Popen(_COMMAND, stdout=subprocess.DEVNULL) as process:
        return process.wait()


def _shell(_: Any) -> Any:
    return subprocess.check_output("echo secret", shell=True)


def _assignment(_: Any) -> Any:
    return subprocess.check_output("TOKEN='my secret' true", shell=True)


def _system(_: Any) -> Any:
    return os.system("exit 3")


def _async_exec(_: Any) -> Any:
    async def run() -> Any:
        process = await asyncio.create_subprocess_exec(*_COMMAND, stdout=subprocess.PIPE)
        return await process.communicate()

    return asyncio.run(run())


def _async_shell(_: Any) -> Any:
    async def run() -> Any:
        process = await asyncio.create_subprocess_shell("exit 3")
        return await process.wait()

    return asyncio.run(run())


def _async_missing(_: Any) -> Any:
    return asyncio.run(asyncio.create_subprocess_exec("/nowhere/no-such-program", "secret"))


SITUATIONS = [
    Situation(client, name, "nothing", call, lambda _, shown=shown: [("subprocess", shown)])
    for client, name, call, shown in (
        ("subprocess", "run", _run, f"subprocess {PYTHON}"),
        ("subprocess", "error status", _fails, f"subprocess {PYTHON}"),
        ("subprocess", "no such program", _missing, "subprocess no-such-program"),
        ("subprocess", "timeout", _times_out, f"subprocess {PYTHON}"),
        ("subprocess", "Popen", _popen, f"subprocess {PYTHON}"),
        ("subprocess", "shell", _shell, "subprocess echo"),
        ("subprocess", "shell with an assignment", _assignment, "subprocess"),
        ("os", "system", _system, "subprocess exit"),
        ("asyncio.subprocess", "exec", _async_exec, f"subprocess {PYTHON}"),
        ("asyncio.subprocess", "shell", _async_shell, "subprocess exit"),
        ("asyncio.subprocess", "no such program", _async_missing, "subprocess no-such-program"),
    )
]
