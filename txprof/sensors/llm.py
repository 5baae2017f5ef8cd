"""SDKs of language models. One request is one call, with its attempts and what it does before.

Their HTTP goes through httpx: this is the layer above, where they retry, sleep in between, and find
out what platform they run on (which starts a program). A streamed answer goes on in httpx.
"""

from __future__ import annotations

from typing import Any

from txprof.sensors.external import Described, watched, watched_coroutine
from txprof.sensors.http import httpx_call
from txprof.sensors.placing import Client, Target


def _request(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    """POST https://api.openai.com/v1/chat/completions"""
    options = args[1] if len(args) > 1 else kwargs["options"]
    # Private: with `base_url`, and the client of httpx below.
    return httpx_call(client._client, options.method, client._prepare_url(options.url))


def _response(result: Any) -> tuple[Any, ...]:
    """The response that the rest of a stream is read from; none, if all of it is there."""
    response = getattr(result, "response", None) or getattr(result, "http_response", None)
    return () if getattr(response, "is_closed", True) else (response,)


def _sdk(name: str, shown: str) -> Client:
    module = f"{name}._base_client"
    return Client(
        name,
        "http",
        shown,
        (
            Target(module, "SyncAPIClient.request", watched(_request, _response)),
            Target(module, "AsyncAPIClient.request", watched_coroutine(_request, _response)),
        ),
    )


CLIENTS = (
    _sdk("openai", "POST https://api.openai.com/v1/chat/completions"),
    _sdk("anthropic", "POST https://api.anthropic.com/v1/messages"),
)
