"""tools/instructions.py: what it reads of callgrind, and counts with it where there is valgrind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from tooling import TOOLS, tool

instructions = tool("instructions")

WRITTEN = """\
# callgrind format
version: 1
positions: line
events: Ir

ob=(1) /lib/libpython.so
fl=(1) ceval.c
fn=(1) evaluate
10 100
+3 20
cob=(2) /lib/libc.so
cfi=(2) malloc.c
cfn=(2) malloc
calls=4 7
* 4000
-1 3

fn=(3) evaluate'2
12 50
cfn=(1)
calls=1 10
* 170

ob=(2)
fl=(2)
fn=(2)
7 1000

totals: 1173
"""


def test_a_function_has_its_own_instructions_and_none_of_those_it_calls() -> None:
    assert instructions.by_function(WRITTEN.splitlines()) == {"evaluate": 173, "malloc": 1000}


def test_what_is_added_is_told_of_each_statement_and_of_the_functions_it_is_in() -> None:
    bare = {"a": Counter(evaluate=1000), "b": Counter(evaluate=2000, malloc=500)}
    watched = {
        "a": Counter(evaluate=1300, malloc=100),
        "b": Counter(evaluate=2100, malloc=400, look_up=60),
    }
    added = {"plain Python": instructions.less(watched, bare)}
    assert instructions.table_of(bare, added).rows == [
        ("what", "bare", "plain Python"),
        ("a", "1,000", "+400"),
        ("b", "2,500", "+60"),
    ]
    assert instructions.functions_of(added).rows[1:] == [
        ("evaluate", "+200"),
        ("look_up", "+30"),
        ("malloc", "+0"),
        ("others", "+0"),
    ]


def test_without_valgrind_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match="apt-get install valgrind"):
        instructions.between_marks(["-c", "pass"], dict(os.environ))


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind")
def test_what_is_counted_is_what_runs_between_two_marks() -> None:
    program = """if True:
        import sys
        def mark(): sys.setrecursionlimit(sys.getrecursionlimit())
        for count in (1_000, 2_000, 3_000): mark(); sum([0] * count)
        mark()"""
    parts = instructions.between_marks(["-I", "-S", "-c", program], dict(os.environ))
    few, some, many = (part.total() for part in parts)
    assert some - few > 1_000
    assert many - some == pytest.approx(some - few, rel=0.05)


@pytest.mark.parametrize("how", ["bare", "watched"])
def test_the_statements_that_are_counted_run(how: str) -> None:
    done = subprocess.run(
        [sys.executable, str(TOOLS / "executions.py"), how, "5", "ORM, entity by id, deep"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_statement_that_is_not_there_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, str(TOOLS / "instructions.py"), "select 2"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "no select 2; there are Core, select 1; " in done.stderr
