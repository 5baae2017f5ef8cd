"""`txprof run`: a program that is ended from outside ends as without it, and loses nothing."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from children import JOBS, child, rpc_calls
from helpers import PATIENCE, eventually

import txprof

TXPROF = [sys.executable, "-m", "txprof", "run", "--report", "none"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module `jobs` that has `work`."""
    (tmp_path / "jobs.py").write_text(JOBS)
    return tmp_path


def running(
    folder: Path, *command: str, **options: Any
) -> AbstractContextManager[subprocess.Popen[str]]:
    """A program under `txprof run`, whose parts stay in `parts`."""
    whole = [*TXPROF, "--save", "parts/", *command]
    return child(whole, cwd=folder, stdout=subprocess.PIPE, **options)


def merged(folder: Path) -> txprof.Profile:
    return txprof.merge(*map(txprof.load, (folder / "parts").glob("*.txprof")))


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        pytest.param("", -signal.SIGTERM, id="default"),
        pytest.param("signal.signal(15, lambda *_: sys.exit(5))", 5, id="handled"),
        pytest.param("signal.signal(15, lambda *_: work('handler') and 0 / 0)", 1, id="raises"),
    ],
)
def test_sigterm_loses_nothing_and_ends_as_without_txprof(
    handler: str, status: int, folder: Path
) -> None:
    code = f"""
import signal, sys
from jobs import work
{handler}
work("main")
print("ready", flush=True)
while True:
    signal.pause()
"""
    (folder / "program.py").write_text(code)
    environment = {**os.environ, "TXPROF_FLUSH_SECONDS": "0"}
    with running(folder, "program.py", env=environment, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)  # of txprof, which hands it on
        assert process.wait(PATIENCE) == status
    expected = {"main": 1, "handler": 1} if "work" in handler else {"main": 1}
    assert rpc_calls(merged(folder)) == expected


def test_a_key_pressed_at_the_terminal_reaches_the_program_once(folder: Path) -> None:
    code = """
import os, signal, sys
got = []
signal.signal(signal.SIGINT, lambda *_: got.append(1))
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)  # one that comes just before a read does not interrupt it
print("ready", flush=True)
os.read(reading, 1)
print("got", flush=True)
sys.stdin.readline()
print(len(got), flush=True)
"""
    (folder / "program.py").write_text(code)
    lead = "import fcntl,os,sys,termios as t;fcntl.ioctl(0,t.TIOCSCTTY,0);"
    lead += "os.execv(sys.argv[1],sys.argv[1:])"
    master, terminal = os.openpty()
    command = [sys.executable, "-c", lead, *TXPROF, "program.py"]
    with child(command, cwd=folder, stdin=terminal, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.write(master, b"\x03")
        assert process.stdout.readline() == "got\n"
        os.write(master, b"\n")
        assert process.stdout.readline() == "1\n"
        assert process.wait(PATIENCE) == 0
    os.close(master)
    os.close(terminal)


APPLICATION = """
import os, pathlib
from jobs import work

def application(environ, start_response):
    name = str(os.getpid())
    if environ["PATH_INFO"] == "/meet":  # both workers are here at once
        pathlib.Path("met", name).touch()
        while len(os.listdir("met")) < 2:
            os.sched_yield()
    work(name)
    body = name.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def get(path: Path, url: str) -> str:
    connection = _UnixConnection(path)
    try:
        connection.request("GET", url)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_workers_of_gunicorn_lose_nothing_that_was_flushed(folder: Path) -> None:
    pytest.importorskip("gunicorn")
    (folder / "app.py").write_text(APPLICATION)
    (folder / "met").mkdir()
    # Its path has to be short.
    socket_path = Path(f"/tmp/txprof-{os.getpid()}.sock")
    environment = {**os.environ, "TXPROF_FLUSH_SECONDS": "0.05"}
    command = ["-m", "gunicorn", "-w", "2", "-b", f"unix:{socket_path}", "app:application"]
    with running(
        folder, *command, "--log-level", "error", env=environment, stderr=subprocess.DEVNULL
    ) as process:
        eventually(lambda: _listens(socket_path))
        answers: list[str] = []
        clients = [
            threading.Thread(target=lambda: answers.append(get(socket_path, "/meet")))
            for _ in range(2)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        answers += [get(socket_path, "/") for _ in range(5)]
        sent = {name: answers.count(name) for name in answers}
        assert len(sent) == 2
        killed, ended = map(int, sent)

        def flushed() -> bool:
            parts = list((folder / "parts").glob("*.txprof"))
            return bool(parts) and rpc_calls(merged(folder)).get(str(killed)) == sent[str(killed)]

        eventually(flushed)
        os.kill(killed, signal.SIGKILL)
        os.kill(ended, signal.SIGTERM)
        newcomer = eventually(lambda: _newcomer(socket_path, sent))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    calls = rpc_calls(merged(folder))
    assert calls.pop(newcomer) >= 1
    assert {name: calls[name] for name in sent} == sent
    assert not list((folder / "parts").glob(".*"))


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _newcomer(socket_path: Path, known: dict[str, int]) -> str | None:
    """The name of a worker that took the place of one of these, if it answers."""
    try:
        name = get(socket_path, "/")
    except (OSError, http.client.HTTPException):
        return None
    if name in known:
        known[name] += 1
        return None
    return name
