"""One way to ask for every SDK of a language model, with threads and with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import anthropic
import openai
from llm_server import CHAT, MESSAGES

Asked = Callable[..., Any]
"""(client, model, **more) -> what it answers; of async clients to be awaited."""


class Sdk(NamedTuple):
    """What is different about an SDK."""

    module: Any
    path: str
    ask: Asked
    raw: Asked
    streamed: Asked
    said: Callable[[Any], str]
    said_in: Callable[[Any], str]

    def client(self, url: str, **options: Any) -> Any:
        """A client of the server there."""
        http = self.module.DefaultHttpxClient(verify=False)
        return self.module.__dict__[self._names()[0]](
            api_key="in-key", base_url=url + self._prefix(), http_client=http, **options
        )

    def async_client(self, url: str, **options: Any) -> Any:
        """The same for asyncio."""
        http = self.module.DefaultAsyncHttpxClient(verify=False)
        return self.module.__dict__[self._names()[1]](
            api_key="in-key", base_url=url + self._prefix(), http_client=http, **options
        )

    def _names(self) -> tuple[str, str]:
        name = "OpenAI" if self.module is openai else "Anthropic"
        return name, f"Async{name}"

    def _prefix(self) -> str:
        return "/v1" if self.module is openai else ""


def _question(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "in-prompt"}], **more}


def _token(chunk: Any) -> str:
    return str(chunk.choices[0].delta.content or "")


def _text(event: Any) -> str:
    return str(event.delta.text) if event.type == "content_block_delta" else ""


SDKS = {
    "openai": Sdk(
        openai,
        CHAT,
        lambda client, model, **more: client.chat.completions.create(**_question(model, **more)),
        lambda client, model: client.chat.completions.with_raw_response.create(**_question(model)),
        lambda client, model: client.chat.completions.with_streaming_response.create(
            **_question(model)
        ),
        lambda answer: str(answer.choices[0].message.content),
        _token,
    ),
    "anthropic": Sdk(
        anthropic,
        MESSAGES,
        lambda client, model, **more: client.messages.create(
            max_tokens=9, **_question(model, **more)
        ),
        lambda client, model: client.messages.with_raw_response.create(
            max_tokens=9, **_question(model)
        ),
        lambda client, model: client.messages.with_streaming_response.create(
            max_tokens=9, **_question(model)
        ),
        lambda answer: str(answer.content[0].text),
        _text,
    ),
}


def ask(sdk: Sdk, url: str, model: str, **options: Any) -> str:
    """One question: the answer's text."""
    with sdk.client(url, **options) as client:
        return sdk.said(sdk.ask(client, model))


def ask_in_stream(sdk: Sdk, url: str) -> str:
    """The same, word by word."""
    with sdk.client(url) as client, sdk.ask(client, "any", stream=True) as stream:
        return "".join(sdk.said_in(event) for event in stream)


def ask_raw(sdk: Sdk, url: str) -> tuple[int, str]:
    """The same, with the response around it."""
    with sdk.client(url) as client:
        raw = sdk.raw(client, "any")
        return raw.status_code, sdk.said(raw.parse())


def ask_for_stream(sdk: Sdk, url: str) -> tuple[int, bool]:
    """The same, of which the body is read last."""
    with sdk.client(url) as client, sdk.streamed(client, "any") as response:
        return response.status_code, b"red" in b"".join(response.iter_bytes())


def ask_async(sdk: Sdk, url: str, model: str, **options: Any) -> str:
    """One question, in asyncio."""

    async def run() -> str:
        async with sdk.async_client(url, **options) as client:
            return sdk.said(await sdk.ask(client, model))

    return asyncio.run(run())


def ask_async_in_stream(sdk: Sdk, url: str) -> str:
    """The same, word by word."""

    async def run() -> str:
        async with sdk.async_client(url) as client:
            async with await sdk.ask(client, "any", stream=True) as stream:
                return "".join([sdk.said_in(event) async for event in stream])

    return asyncio.run(run())
