"""`txprof run`: children of every kind write their part; nothing counts twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from children import JOBS, rpc_calls
from helpers import PATIENCE
from sqlalchemy import create_engine

import txprof
from txprof import context
from txprof.programs.part import Flusher

TXPROF = [sys.executable, "-m", "txprof", "run", "--report", "none"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module `jobs` that has `work`."""
    (tmp_path / "jobs.py").write_text(JOBS)
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
