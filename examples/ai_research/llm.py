"""The client of the language model: one question for each section of a data sheet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .models import SPECS

_PATH = "/v1/chat/completions"
_TLS = httpx.create_ssl_context()  # takes a while: once, for all clients

_client: httpx.Client
_options: dict[str, Any] = {}


@contextmanager
def connected(url: str) -> Iterator[None]:
    """Use the language model at `url` while the block runs."""
    global _client, _options
    # trust_env: the model is on this machine, whatever proxy the environment names.
    _options = {"base_url": url, "timeout": 120, "trust_env": False, "verify": _TLS}
    with httpx.Client(**_options) as _client:
        yield


def fetch_specs(product_name: str, units: dict[str, str]) -> dict[str, str]:
    """The specs of a product as the model knows them, in these units; both by name of the spec."""
    specs: dict[str, str] = {}
    for request in _requests(product_name, units):
        specs.update(_answer(_client.post(_PATH, json=request)))
    return specs


async def fetch_specs_async(product_name: str, units: dict[str, str]) -> dict[str, str]:
    """The same in asyncio."""
    specs: dict[str, str] = {}
    # A client each: a shared one looks through the connections of all tasks at every request.
    async with httpx.AsyncClient(**_options) as client:
        for request in _requests(product_name, units):
            specs.update(_answer(await client.post(_PATH, json=request)))
    return specs


def _requests(product_name: str, units: dict[str, str]) -> Iterator[dict[str, Any]]:
    for section, names in SPECS.items():
        wanted = ", ".join(f"{name} in {units[name]}" for name in names)
        question = f"Data sheet of {product_name!r}, section {section!r}: {wanted}."
        yield {"model": "demo", "messages": [{"role": "user", "content": question}]}


def _answer(response: httpx.Response) -> dict[str, str]:
    """What the model says, which is JSON."""
    response.raise_for_status()
    answer: dict[str, str] = json.loads(response.json()["choices"][0]["message"]["content"])
    return answer
