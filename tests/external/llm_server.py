"""A server on loopback that answers as OpenAI and Anthropic do. The model's name says how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from loopback import Handler, Server

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


def completion(**more: Any) -> dict[str, Any]:
    """What OpenAI answers; `more` is of the one choice."""
    choice = {"index": 0, "finish_reason": "stop", **more}
    return {"id": "1", "created": 1, "model": "any", "choices": [choice]}


def _openai() -> Any:
    message = {"role": "assistant", "content": "red"}
    return completion(message=message) | {"object": "chat.completion"}


def _openai_stream() -> Iterator[str]:
    for word in ("re", "d"):
        chunk = completion(delta={"content": word}) | {"object": "chat.completion.chunk"}
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def _message(text: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if text else []
    return {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "any",
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _anthropic_stream() -> Iterator[str]:
    empty = {"type": "text", "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": _message("")},
        {"type": "content_block_start", "index": 0, "content_block": empty},
    ]
    for word in ("re", "d"):
        delta = {"type": "text_delta", "text": word}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    events += [{"type": "content_block_stop", "index": 0}, {"type": "message_stop"}]
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


class _Handler(Handler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        chat = self.path == CHAT
        match asked["model"]:
            case "unknown":
                self._send(404, json.dumps({"error": {"message": "no such model"}}))
            case "busy":
                self._send(503, "{}", **{"Retry-After-Ms": "1"})
            case "moved" if not self.path.endswith("/again"):
                self._send(307, "", Location=f"{self.path}/again")
            case "stalled":
                self.server.stopped.wait(60)  # type: ignore[attr-defined]
            case _ if asked.get("stream"):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for part in _openai_stream() if chat else _anthropic_stream():
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part.encode()))
                self.wfile.write(b"0\r\n\r\n")
            case _:
                self._send(
                    200, json.dumps(_message("red") if "messages" in self.path else _openai())
                )

    def _send(self, status: int, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


def llm_server() -> AbstractContextManager[Server]:
    """The server, in a thread."""
    return Server(_Handler).running()
