"""A headless Chromium, driven over its debugging pipe: no driver, no port, no other library."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 60.0

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

_FLAGS = (
    "--headless",
    "--no-sandbox",  # a container's root has no sandbox of its own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The pipe's ends are 3 and 4 in the browser. (A shell may know no numbers above 9.)"""


class Page:
    """A tab. `logged` has what its console said, `opened` every dialog: alert() and its like."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.logged: list[str] = []
        self.opened: list[str] = []
        self._seen: set[str] = set()
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Any:
        """A command of the DevTools protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writer, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self) -> Any:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._reader, 1 << 20)
            assert part, "the browser is gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        event = json.loads(message)
        method, params = event.get("method"), event.get("params", {})
        if method == "Page.javascriptDialogOpening":
            self.opened.append(params["message"])
        elif method == "Log.entryAdded":
            self.logged.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.logged.append(str(params["exceptionDetails"]))
        elif method is not None:
            self._seen.add(method)
        return event

    def goto(self, path: Path) -> None:
        """Open a file and wait until it has loaded."""
        self._seen.clear()
        self.send("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._seen:
            self._receive()

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise's when it comes."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """A key of the keyboard, down and up."""
        code = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowRight": 39}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def hover(self, selector: str) -> None:
        """The pointer over the middle of an element."""
        # What comes into sight is laid out only then, and moves the rest: wait until it stands.
        box = self.run(
            f"(async e => {{ let still = 0, last; while (still < 5) {{"
            "e.scrollIntoView({block: 'center'}); await new Promise(requestAnimationFrame);"
            "const at = e.getBoundingClientRect(); still = at.y === last ? still + 1 : 0;"
            "last = at.y; } return e.getBoundingClientRect().toJSON(); })"
            f"(document.querySelector({selector!r}))"
        )
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def resize(self, width: int, height: int = 800) -> None:
        """As wide as a phone, say."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def prefer(self, scheme: str) -> None:
        """Light or dark."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", features=[feature])


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A tab of a browser of its own, whose profile is in the folder."""
    assert CHROMIUM is not None
    to_browser, ours = os.pipe()
    theirs, from_browser = os.pipe()
    command = [CHROMIUM, *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _START, str(to_browser), str(from_browser), *command],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(theirs, ours)
    finally:
        os.close(ours)  # the browser ends with its pipe
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(theirs)
