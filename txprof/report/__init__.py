"""Reports. A format is a file here with `render(profile, **options) -> str`, and a line in FORMATS.

A renderer writes nothing itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txprof.report.styled import Styled
    from txprof.results import Profile

FORMATS = ("text", "html", "json", "markdown", "sarif", "github", "junit", "trace")


def render(profile: Profile, format: str = "text", **options: Any) -> str:
    """The profile in a format."""
    if format not in FORMATS:
        raise ValueError(f"unknown report format {format!r}; known are {', '.join(FORMATS)}")
    from importlib import import_module

    rendered: str = import_module(f"txprof.report.{format}").render(profile, **options)
    return rendered


def print_report(profile: Profile, file: IO[str], **options: Any) -> None:
    """The text report, as wide and colourful as the file it goes to."""
    options = {**_fitting(file, profile.settings.color), **options}
    _print(render(profile, "text", **options), file)


def print_lines(lines: Iterable[Styled], file: IO[str], color: str) -> None:
    """Lines, as the file takes them. What is too wide for a terminal, that wraps."""
    fitting = _fitting(file, color)
    ready = [line.ready(None, unicode=fitting["unicode"]) for line in lines]
    _print("".join([f"{one.ansi if fitting['color'] else one.plain}\n" for one in ready]), file)


def terminal_width(file: IO[str]) -> int | None:
    """Its columns; None for a file that is no terminal."""
    width: int | None = _fitting(file, "auto")["width"]
    return width


def _print(text: str, file: IO[str]) -> None:
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "backslashreplace").decode(encoding))
    file.flush()


def _fitting(file: IO[str], color: str) -> dict[str, Any]:
    terminal = file.isatty() if hasattr(file, "isatty") else False
    plain = os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
    width = None
    if terminal:
        try:
            width = os.get_terminal_size(file.fileno()).columns or None
        except (OSError, ValueError, AttributeError):
            width = 80
    return {
        "width": width,
        "color": color == "always" or (color == "auto" and terminal and not plain),
        "unicode": not plain and _writes_boxes(file),
    }


def _writes_boxes(file: IO[str]) -> bool:
    try:
        "┏┃┗×·→▲".encode(getattr(file, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True
