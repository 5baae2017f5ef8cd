"""A database that txprof watches answers as it did, and fails as it did."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from same_functions import frames_of
from sqlalchemy import Engine, exc, text

import txprof


def core(engine: Engine) -> list[Any]:
    with engine.begin() as connection:
        connection.execute(text("UPDATE product SET name = :name WHERE id = 1"), {"name": "é"})
        return list(connection.execute(text("SELECT id, name FROM product ORDER BY id")))


def failing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))


def exhausted(engine: Engine) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(engine.connect())


@pytest.mark.parametrize("program", [failing, exhausted], ids=lambda f: f.__name__)
def test_database_errors_have_the_same_traceback(engine: Engine, program: Any) -> None:
    with_txprof = frames_of(lambda: program(engine))
    txprof.uninstall()
    without = frames_of(lambda: program(engine))
    assert with_txprof[0] is without[0]
    assert issubclass(without[0], exc.SQLAlchemyError)
    assert str(with_txprof[1]) == str(without[1])
    assert with_txprof[2] == without[2]


def test_statements_return_the_same(engine: Engine) -> None:
    with_txprof = core(engine)
    txprof.uninstall()
    assert core(engine) == with_txprof


def test_uninstall_gives_a_dialect_its_own_methods_back(engine: Engine) -> None:
    with engine.connect():
        assert "do_execute" in vars(engine.dialect)
    txprof.uninstall()
    assert "do_execute" not in vars(engine.dialect)
    assert not any(name.startswith("do_") for name in vars(engine.dialect))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
