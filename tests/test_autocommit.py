"""Whether a driver commits each statement is found out without asking the server, or a mock."""

from __future__ import annotations

from unittest.mock import Mock, call

import pytest
from products import io, state
from sqlalchemy import Engine, create_engine, make_url, text

import txprof

DRIVERS = ("pymysql", "mysqlconnector")


def connect(mariadb_url: str, driver: str) -> Engine:
    pytest.importorskip({"mysqlconnector": "mysql.connector"}.get(driver, driver))
    return create_engine(make_url(mariadb_url).set(drivername=f"mysql+{driver}"))


def states(engine: Engine) -> list[str]:
    """While a transaction is open, and under autocommit."""
    found = []
    for level in ("READ COMMITTED", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            connection.execute(text("SELECT 1"))
            found.append(state())
            io()
    return found


def asked(engine: Engine) -> int:
    """How many statements the server had from this session."""
    with engine.connect() as connection:
        row = connection.execute(text("SHOW SESSION STATUS LIKE 'Questions'")).one()
    return int(row[1])


@pytest.mark.parametrize("driver", DRIVERS)
def test_both_modes_are_told_apart_on_mariadb(mariadb_url: str, driver: str) -> None:
    engine = connect(mariadb_url, driver)
    with txprof.profile(on_finding="ignore") as prof:
        assert states(engine) == ["transaction", "held"]
    assert sorted(finding.rule for finding in prof.findings) == [
        "io-in-transaction",
        "io-while-held",
    ]
    engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_server_is_sent_what_the_program_sends(mariadb_url: str, driver: str) -> None:
    engine = connect(mariadb_url, driver)  # its pool gives out the one connection each time
    at_first = asked(engine)
    states(engine)
    bare = asked(engine) - at_first
    with txprof.profile(on_finding="ignore"):
        states(engine)
    assert asked(engine) - at_first - bare == bare
    engine.dispose()


def test_a_mock_of_a_driver_is_not_asked() -> None:
    driver = Mock()
    engine = create_engine("mysql://", module=driver, creator=driver.connect, _initialize=False)
    with txprof.profile(on_finding="ignore") as prof, engine.connect() as connection:
        connection.begin()
        io()
    assert driver.connect().mock_calls == [call.rollback()]
    assert [finding.rule for finding in prof.findings] == ["io-in-transaction"]
