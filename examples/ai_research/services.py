"""What the batch talks to, on free ports of 127.0.0.1: a language model that waits, and an S3."""

from __future__ import annotations

import json
import logging
import socketserver
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
from moto.server import ThreadedMotoServer

from . import images, llm
from .models import SPECS


@contextmanager
def running(llm_seconds: float) -> Iterator[threading.Event]:
    """Start both, connect the clients to them, and stop everything after the block.

    While the event that it yields is set, the language model answers at once.
    """
    with started(llm_seconds) as (hurry, *urls), connected(*urls):
        yield hurry


@contextmanager
def started(llm_seconds: float) -> Iterator[tuple[threading.Event, str, str]]:
    """The same servers, without clients: the event, and the URLs of the model and of the S3."""
    with _language_model(llm_seconds) as model, _s3() as s3_url:
        yield model.hurry, f"http://127.0.0.1:{model.server_address[1]}", s3_url


@contextmanager
def connected(llm_url: str, s3_url: str) -> Iterator[None]:
    """The clients, connected to servers at these URLs."""
    with llm.connected(llm_url), images.connected(s3_url):
        yield


@contextmanager
def _language_model(seconds: float) -> Iterator[_LanguageModel]:
    with _LanguageModel(seconds) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.hurry.set()
            server.shutdown()
            thread.join()


@contextmanager
def _s3() -> Iterator[str]:
    log = logging.getLogger("werkzeug")  # a line for every request
    level = log.level
    log.setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        yield url
        httpx.post(f"{url}/moto-api/reset", trust_env=False)  # it keeps its buckets otherwise
    finally:
        server.stop()
        log.setLevel(level)


class _LanguageModel(socketserver.ThreadingTCPServer):
    """POST /v1/chat/completions, answered after a while."""

    request_queue_size = 128

    def __init__(self, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seconds = seconds
        self.hurry = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away while the model was thinking is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 5  # a client that stays connected does not keep the server from stopping
    server: _LanguageModel

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.hurry.wait(self.server.seconds)
        question = request["messages"][-1]["content"]
        message = {"role": "assistant", "content": json.dumps(_answer(question))}
        body = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _answer(question: str) -> dict[str, str]:
    """Made up, but the same each time."""
    section = next(section for section in SPECS if f"section {section!r}" in question)
    return {
        name: f"{zlib.crc32(f'{question} {name}'.encode()) % 1000} {unit}"
        for name, unit in SPECS[section].items()
    }
