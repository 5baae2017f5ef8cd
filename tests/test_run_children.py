"""`txprof run`: children of every kind write their part, however they end; nothing counts twice."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers import calls_seen
from sqlalchemy import create_engine

import txprof
from txprof import context
from txprof.programs.part import Flusher

TXPROF = [sys.executable, "-m", "txprof", "run", "--report", "none"]

PATIENCE = 60.0

WORK = """
import os
from sqlalchemy import create_engine, text
import txprof

def work(name):
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", name):
            pass
    engine.dispose()
    return name
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module `jobs` that has `work`."""
    (tmp_path / "jobs.py").write_text(WORK)
    return tmp_path


def run(folder: Path, code: str, *options: str, **settings: str) -> txprof.Profile:
    """What a program recorded that ends well and says nothing."""
    (folder / "program.py").write_text(code)
    done = subprocess.run(
        [*TXPROF, "--save", "x.txprof", *options, "program.py"],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return txprof.load(folder / "x.txprof")


def rpc_calls(profile: txprof.Profile) -> dict[str, int]:
    return {target: count for kind, target, count in calls_seen(profile) if kind == "rpc"}


def eventually(what: Callable[[], Any]) -> Any:
    """The first true answer."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = what()
        if answer:
            return answer
        os.sched_yield()
        threading.Event().wait(0.01)
    raise AssertionError(f"it did not come: {what}")


# --- processes that end by themselves -----------------------------------------------------------


def test_children_of_multiprocessing_write_their_part(folder: Path) -> None:
    code = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from jobs import work

if __name__ == "__main__":
    work("main")
    for method in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context(method)
        child = context.Process(target=work, args=(method,))
        child.start()
        child.join()
        assert child.exitcode == 0
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            list(pool.map(work, [f"pool {method}"] * 4))
"""
    profile = run(folder, code, "--lines", "jobs:work")
    methods = ["fork", "spawn", "forkserver"]
    assert rpc_calls(profile) == {
        "main": 1,
        **dict.fromkeys(methods, 1),
        **{f"pool {method}": 4 for method in methods},
    }
    (function,) = profile.functions
    assert function.calls == 16


def test_a_forked_child_reports_what_it_did_alone_and_no_warning_is_ours(folder: Path) -> None:
    code = """
import os, threading, warnings
warnings.simplefilter("error", DeprecationWarning)  # of forks beside threads
from sqlalchemy import create_engine, text
from jobs import work
import txprof

engine = create_engine("sqlite:///shared.db")
work("before")
with engine.begin() as connection:
    connection.execute(text("SELECT 1"))
    pid = os.fork()
    if pid == 0:
        with txprof.external_call("rpc", "not in a transaction of the child's"):
            pass
        work("child")
        grandchild = os.fork()
        if grandchild == 0:
            work("grandchild")
            raise SystemExit
        os.waitpid(grandchild, 0)
        raise SystemExit
os.waitpid(pid, 0)
work("after")
engine.dispose()
assert threading.active_count() == 1
"""
    profile = run(folder, code, TXPROF_FLUSH_SECONDS="0.01")
    assert rpc_calls(profile) == {
        "before": 1,
        "not in a transaction of the child's": 1,
        "child": 1,
        "grandchild": 1,
        "after": 1,
    }
    targets = {finding.details["target"] for finding in profile.findings}
    assert "not in a transaction of the child's" not in targets
    assert "child" in targets


def test_locks_that_a_thread_held_are_free_in_a_forked_child(folder: Path) -> None:
    code = """
import os, threading
import txprof.forking
from jobs import work

held, done = threading.Event(), threading.Event()

def hold():
    locks = [lock for lock in txprof.forking._locks if lock.acquire(blocking=False)]
    assert len(locks) > 5
    held.set()
    done.wait()
    for lock in locks:
        lock.release()

work("before")
thread = threading.Thread(target=hold)
thread.start()
held.wait()
pid = os.fork()
if pid == 0:
    work("child")
    os.kill(os.getpid(), 15)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == -15
done.set()
thread.join()
"""
    profile = run(folder, code, TXPROF_FLUSH_SECONDS="0", PYTHONWARNINGS="ignore")
    assert rpc_calls(profile) == {"before": 1, "child": 1}


def test_writing_goes_on_after_a_fork_in_the_parent_alone() -> None:
    written = threading.Event()
    flusher = Flusher(written.set, 0.01)
    flusher.start()
    assert written.wait(PATIENCE)
    flusher.stand_aside()
    written.clear()
    engine = create_engine("sqlite://")
    with txprof.profile(on_finding="ignore"), engine.connect():
        assert written.wait(PATIENCE)  # something happened
    flusher.stand_aside()
    flusher.forget()
    assert flusher._go_on not in context.edges
    written.clear()
    with txprof.profile(on_finding="ignore"), engine.connect():
        pass
    assert not flusher._runs
    engine.dispose()


@pytest.mark.parametrize("asked", [True, False])
def test_subprocesses_are_watched_if_asked(asked: bool, folder: Path) -> None:
    (folder / "child.py").write_text(
        "import os\nfrom jobs import work\nwork('child')\nprint(os.environ.get('PYTHONPATH', ''))"
    )
    code = """
import os, subprocess, sys
path = subprocess.check_output([sys.executable, "child.py"], text=True).strip()
assert path == os.environ.get("PYTHONPATH", "")
"""
    profile = run(folder, code, *(["--children"] if asked else []))
    assert rpc_calls(profile) == ({"child": 1} if asked else {})


def test_children_of_billiard_write_their_part(folder: Path) -> None:
    pytest.importorskip("billiard", reason="celery's")
    code = """
import warnings
warnings.simplefilter("ignore")
import billiard
from jobs import work

if __name__ == "__main__":
    child = billiard.Process(target=work, args=("child",))
    child.start()
    child.join()
"""
    assert rpc_calls(run(folder, code)) == {"child": 1}


# --- processes that are ended -------------------------------------------------------------------


@contextmanager
def running(folder: Path, *command: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program under `txprof run`, whose parts stay in `parts`."""
    process = subprocess.Popen(
        [*TXPROF, "--save", "parts/", *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


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
import signal, sys
got = []
signal.signal(signal.SIGINT, lambda *_: (got.append(1), print("got", flush=True)))
print("ready", flush=True)
sys.stdin.readline()
print(len(got), flush=True)
"""
    (folder / "program.py").write_text(code)
    lead = "import fcntl,os,sys,termios as t;os.setsid();fcntl.ioctl(0,t.TIOCSCTTY,0);"
    lead += "os.execv(sys.argv[1],sys.argv[1:])"
    master, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", lead, *TXPROF, "program.py"],
        cwd=folder,
        stdin=terminal,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
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
