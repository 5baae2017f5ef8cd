"""How programs sleep."""

from __future__ import annotations

import asyncio
import time
from asyncio import sleep as nap_of_a_task
from time import sleep as nap
from typing import Any

from situations import Situation

_BRIEFLY = 0.001


def _sleep(_: Any) -> Any:
    return time.sleep(_BRIEFLY)


def _nap(_: Any) -> Any:
    return nap(_BRIEFLY)


def _not_at_all(_: Any) -> Any:
    return time.sleep(0)


def _before_now(_: Any) -> Any:
    return time.sleep(-1)


def _no_number(_: Any) -> Any:
    return time.sleep("secret")  # type: ignore[arg-type]


def _async_sleep(_: Any) -> Any:
    return asyncio.run(asyncio.sleep(_BRIEFLY, "slept"))


def _async_nap(_: Any) -> Any:
    return asyncio.run(nap_of_a_task(delay=_BRIEFLY, result="slept"))


def _async_not_at_all(_: Any) -> Any:
    return asyncio.run(asyncio.sleep(0, "slept"))


SITUATIONS = [
    Situation(
        client, name, "nothing", call, lambda _, shown=shown: [("sleep", each) for each in shown]
    )
    for client, name, call, shown in (
        ("time", "sleep", _sleep, ["time.sleep"]),
        ("time", "sleep imported by name", _nap, ["time.sleep"]),
        ("time", "sleep of no length", _not_at_all, []),
        ("time", "sleep until before now", _before_now, []),
        ("time", "sleep of no number", _no_number, []),
        ("asyncio", "sleep", _async_sleep, ["asyncio.sleep"]),
        ("asyncio", "sleep imported by name", _async_nap, ["asyncio.sleep"]),
        ("asyncio", "sleep of no length", _async_not_at_all, []),
    )
]
