"""What a program may have in its names, URLs and statements, so that a page would run it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import rich_recording

from txprof import recording
from txprof.recorded import Recorded
from txprof.results import Profile
from txprof.settings import Settings

CORPUS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</style><script>alert(3)</script>",
    "</title><script>alert(4)</script>",
    "--><script>alert(5)</script><!--",
    '"><img src=x onerror=alert(6)>',
    "'><svg onload=alert(7)>",
    '" onfocus=alert(8) autofocus tabindex=1 x="',
    "' onmouseover=alert(9) x='",
    "`onerror=alert(10)`",
    "javascript:alert(11)",
    "<a href=javascript:alert(12)>x</a>",
    '<iframe srcdoc="<script>parent.alert(13)</script>"></iframe>',
    "<base href=//evil.example/>",
    '<meta http-equiv=refresh content="0;url=javascript:alert(14)">',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(15)>",
    "</details></li></ol></section><object data=javascript:alert(16)>",
    "{{ 7 * 7 }}{% raw %}{{ cycler.__init__.__globals__ }}",
    "&lt;script&gt;alert(17)&lt;/script&gt;",
    "<scr\0ipt>alert(18)</scr\0ipt>",
    "\u2028\u2029\ufeff<script>alert(19)</script>",
    "%3Cscript%3Ealert(20)%3C/script%3E",
    "\\x3cscript\\x3ealert(21)\\x3c/script\\x3e",
    "a\n\n# heading\n\n<script>alert(22)</script>\r\n::error::x\n```\n",
    "<style>@import 'https://evil.example/'</style><link rel=stylesheet href=//evil.example>",
)

Anything = TypeVar("Anything")

_WORDS = ("state", "rule", "outcome")
"""Fields that have one of a few words, which we write ourselves."""


def poisoned(value: Anything, text: str) -> Anything:
    """The same with the text in place of every string of the program's."""
    if isinstance(value, str):
        return text  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: poisoned(getattr(value, field.name), text)
            for field in fields(value)
            if field.name not in _WORDS
        }
        return replace(value, **changed)  # type: ignore[return-value]
    if isinstance(value, tuple):
        items: list[Any] = [poisoned(item, text) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)  # type: ignore[return-value]
    if isinstance(value, list):
        return [poisoned(item, text) for item in value]  # type: ignore[return-value]
    return value


def recorded() -> Recorded:
    """The rich recording once for each text of the corpus."""
    return recording.merge([poisoned(rich_recording.recorded(), text) for text in CORPUS])


def profile() -> Profile:
    return Profile.of(recorded(), Settings())
