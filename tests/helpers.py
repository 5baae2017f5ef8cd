"""What tests share: a loopback HTTP server, and what they say about a profile."""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from loopback import Handler
from sqlalchemy import Engine, text

import txprof


class _Handler(Handler):
    """GET/POST/... /ok, /status/404, /redirect (to /ok), /slow (3 s), /stream (chunks)."""

    def _answer(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            self._send(int(path.rpartition("/")[2]), b"status")
        elif path == "/redirect":
            self._send(302, b"", Location="/ok")
        elif path == "/slow":
            threading.Event().wait(3)  # no sleep: that would be a call of this process
            self._send(200, b"slow")
        elif path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b"one ", b"two ", b"three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._send(200, b"ok")

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class ApiServer:
    """A real HTTP server on a free port of 127.0.0.1. `requests` lists what reached it."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.requests = []  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def requests(self) -> list[str]:
        found: list[str] = self._server.requests  # type: ignore[attr-defined]
        return found

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/ok") -> str:
        return f"http://{self.host}{path}"

    def __enter__(self) -> ApiServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class FakeClock:
    """Stands still until `tick`."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def tick(self, seconds: float) -> None:
        self.time += seconds


PATIENCE = 60.0
"""Seconds that a test waits for what should come at once: machines are busy."""


def eventually(what: Callable[[], Any]) -> Any:
    """The first true answer; where nobody tells when there is one."""
    tick, until = threading.Event(), time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = what()
        if answer:
            return answer
        tick.wait(0.01)
    raise AssertionError("it did not come")


def make_wait(engine: Engine, fake: FakeClock, seconds: float) -> None:
    """From now on each checkout waits so long before the pool has an answer."""
    get = engine.pool._do_get  # type: ignore[attr-defined]

    def slow() -> object:
        fake.tick(seconds)
        return get()

    engine.pool._do_get = slow  # type: ignore[attr-defined]


def lines_of(profile: txprof.Profile, name: str) -> dict[int, txprof.LineProfile]:
    """The lines of the function of that name."""
    (function,) = [
        f for f in profile.functions if f.site.function.rpartition(".")[2] == name and f.calls
    ]
    return function.lines


def call(target: str = "billing") -> str:
    """An external call."""
    with txprof.external_call("rpc", target):
        return target


def in_transaction(engine: Engine) -> str:
    """The same, inside a transaction."""
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        return call()


def line_of(marker: str) -> int:
    """The number of the line in the calling test that carries `# <marker>`."""
    frame = inspect.stack()[1].frame
    lines, first = inspect.getsourcelines(frame.f_code)
    found = [
        number for number, line in enumerate(lines, first) if line.rstrip().endswith(f"# {marker}")
    ]
    assert len(found) == 1, f"{marker!r} marks lines {found}"
    return found[0]


def findings_of(profile: txprof.Profile, rule: str) -> list[txprof.Finding]:
    return [finding for finding in profile.findings if finding.rule == rule]


def assert_flagged(
    profile: txprof.Profile, rule: str, *, line: int | None = None, count: int | None = None
) -> txprof.Finding:
    """Exactly one finding of the rule, at the line."""
    found = findings_of(profile, rule)
    assert len(found) == 1, f"{rule}: {[(f.site, f.message) for f in profile.findings]}"
    if line is not None:
        assert found[0].site.line == line, found[0].site
    if count is not None:
        assert found[0].count == count
    return found[0]


def assert_burst(prof: txprof.Profile, name: str, line: int | None = None) -> txprof.Finding:
    """One n-plus-one, of the relationship, attribute or class of that name."""
    finding = assert_flagged(prof, "n-plus-one", line=line)
    assert finding.details["target"] == name
    return finding


def assert_clean(profile: txprof.Profile) -> None:
    """No finding at all."""
    found = [(f.rule, f.site, f.message) for f in profile.findings]
    assert found == [], found


def exemplar_of(profile: txprof.Profile) -> txprof.Exemplar:
    """The only transaction that was kept whole."""
    (exemplar,) = profile.exemplars
    return exemplar


def statements_of(exemplar: txprof.Exemplar) -> list[str]:
    """The texts of its statements."""
    return [statement.statement for statement in exemplar.statements]


def calls_seen(profile: txprof.Profile) -> list[tuple[str, str, int]]:
    """(kind, target, count) of the external calls."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in profile.recorded.external_calls:
        counts[row.kind, row.target] += row.count
    return sorted((kind, target, count) for (kind, target), count in counts.items())
