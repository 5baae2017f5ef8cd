"""What programs do with SDKs of language models, whatever the network does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from expecting import raising, returning
from llm_clients import (
    SDKS,
    Sdk,
    ask,
    ask_async,
    ask_async_in_stream,
    ask_for_stream,
    ask_in_stream,
    ask_raw,
)
from situations import Seen, Situation

_NOWHERE = "http://127.0.0.1:1"


def _asking(
    how: Callable[..., Any], sdk: Sdk, *model: str, url: str | None = None, **options: Any
) -> Callable[[Any], Any]:
    return lambda server: how(sdk, url or server.url, *model, **options)


def _situations(name: str, sdk: Sdk) -> list[Situation]:
    errors = sdk.module

    def seen(server: Any) -> Seen:
        return [("http", f"POST {server.url}{sdk.path}")]

    def nowhere(_: Any) -> Seen:
        return [("http", f"POST {_NOWHERE}{sdk.path}")]

    return [
        Situation(name, title, "llm", call, nowhere if "refused" in title else seen)
        for title, call in (
            ("answer", returning("red", _asking(ask, sdk, "any"))),
            ("stream", returning("red", _asking(ask_in_stream, sdk))),
            ("raw response", returning((200, "red"), _asking(ask_raw, sdk))),
            ("streaming response", returning((200, True), _asking(ask_for_stream, sdk))),
            ("redirect", returning("red", _asking(ask, sdk, "moved"))),
            ("error status", raising(errors.NotFoundError, _asking(ask, sdk, "unknown"))),
            (
                "error status retried",
                raising(errors.InternalServerError, _asking(ask, sdk, "busy", max_retries=2)),
            ),
            (
                "refused",
                raising(
                    errors.APIConnectionError,
                    _asking(ask, sdk, "any", url=_NOWHERE, max_retries=0),
                ),
            ),
            (
                "timeout",
                raising(
                    errors.APITimeoutError,
                    _asking(ask, sdk, "stalled", timeout=0.2, max_retries=0),
                ),
            ),
            ("async answer", returning("red", _asking(ask_async, sdk, "any"))),
            ("async stream", returning("red", _asking(ask_async_in_stream, sdk))),
            (
                "async error status retried",
                raising(errors.InternalServerError, _asking(ask_async, sdk, "busy", max_retries=1)),
            ),
            (
                "async refused",
                raising(
                    errors.APIConnectionError,
                    _asking(ask_async, sdk, "any", url=_NOWHERE, max_retries=0),
                ),
            ),
        )
    ]


SITUATIONS = [each for name, sdk in SDKS.items() for each in _situations(name, sdk)]
