"""The one thing that all the rest is about."""

from __future__ import annotations

import requests
from helpers import ApiServer, assert_flagged, line_of
from sqlalchemy import Engine, text

import txprof


def test_it_sees_a_call_in_a_transaction(engine: Engine, api: ApiServer) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        requests.get(api.url(), timeout=5)  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
