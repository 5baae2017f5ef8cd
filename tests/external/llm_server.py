"""A server on loopback that answers as OpenAI and Anthropic do. The model's name says how."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

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

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass  # the client gave up

    def log_message(self, *_: Any) -> None:
        pass


class LlmServer:
    """Its address, and the paths that it was asked for."""

    def __init__(self, server: Any) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.asked: list[str] = server.asked


@contextmanager
def llm_server() -> Iterator[LlmServer]:
    """A server in a thread."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.asked = []  # type: ignore[attr-defined]
        server.stopped = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield LlmServer(server)
        server.stopped.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
