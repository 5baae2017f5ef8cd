"""Every HTTP client on every database: a call inside a transaction is a finding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers import ApiServer, assert_flagged, line_of
from http_clients import Send, transaction
from sqlalchemy import Engine, create_engine

import txprof


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine on each kind of database."""
    lite = request.param == "sqlite"
    engine = create_engine("sqlite://" if lite else request.getfixturevalue("postgresql_url"))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("path", ["/ok", "/status/404", "/status/503"])
def test_a_call_is_one_finding_at_the_calling_line(
    any_engine: Engine, api: ApiServer, send: Send, path: str
) -> None:
    with txprof.profile() as prof, transaction(any_engine):
        send("GET", api.url(path))  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "http"
    assert finding.details["target"] == f"GET {api.url(path)}"
    assert finding.seconds is not None
    assert finding.seconds > 0
