"""The latest profiled requests, and the page that shows them."""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

_LONGEST = 200_000
"""Characters of a report that are kept."""

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
details { border-top: 1px solid #8886; padding: .6rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary:focus-visible { outline: 2px solid Highlight; }
.asked, .when { opacity: .75; font-size: .9rem; }
.found { color: light-dark(#b00020, #ff8a80); font-weight: 600; }
pre { overflow-x: auto; font-size: .85rem; line-height: 1.35; }
"""

_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; "
_POLICY += "frame-ancestors 'none'"

HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        _POLICY.format(base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()),
    ),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


class Profiled(NamedTuple):
    """A request that was profiled."""

    at: datetime
    method: str
    path: str
    status: str
    """"-" where none was sent."""
    seconds: float
    asked: str
    findings: int
    report: str


class Recent:
    """The latest ones of this process."""

    def __init__(self, most: int) -> None:
        if isinstance(most, bool) or not isinstance(most, int):
            raise TypeError(f"recent must be a whole number, not {most!r}")
        if most < 0:
            raise ValueError(f"recent must be 0 or more, not {most!r}")
        # No lock, which a thread might hold while another one forks: to append to a deque, or to
        # make a list of one, is a single step for other threads.
        self._latest: deque[Profiled] = deque(maxlen=most)

    def add(
        self,
        *,
        method: str,
        path: str,
        status: str,
        seconds: float,
        asked: str,
        findings: int,
        report: str,
    ) -> None:
        if len(report) > _LONGEST:
            report = f"{report[:_LONGEST]}\n... {len(report) - _LONGEST} more characters\n"
        profiled = Profiled(
            datetime.now(UTC), method, path[:500], status, seconds, asked, findings, report
        )
        self._latest.append(profiled)

    def page(self) -> bytes:
        """All of it as HTML. Whatever came from the program or the request is escaped."""
        latest = list(self._latest)
        shown = "".join(map(_shown, reversed(latest))) or (
            "<p>No request was profiled yet. Ask for one: <code>?txprof=app/*.py</code></p>"
        )
        title = f"txprof: {len(latest)} recent request{'s' * (len(latest) != 1)}"
        document = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1><main>{shown}</main></body></html>"
        )
        return document.encode("utf-8", "backslashreplace")


def _shown(profiled: Profiled) -> str:
    found = "no findings"
    if profiled.findings:
        found = f'<span class="found">{profiled.findings} found</span>'
    return (
        "<details><summary>"
        f"<strong>{escape(profiled.method)} {escape(profiled.path)}</strong> "
        f"{escape(profiled.status)} · {profiled.seconds * 1e3:.1f} ms · {found} "
        f'<span class="when">{profiled.at:%Y-%m-%d %H:%M:%S} UTC</span> '
        f'<span class="asked">{escape(profiled.asked)}</span>'
        f'</summary><pre tabindex="0">{escape(profiled.report)}</pre></details>'
    )
