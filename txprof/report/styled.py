"""Lines of styled text for a terminal, or plain.

Plain on purpose: a report may have 40,000 of them, and `rich.text.Text` takes four times as long
(`benchmarks/reports.py`). Styles, widths and the colours of the source are rich's.
"""

from __future__ import annotations

import functools
import re
from textwrap import TextWrapper

from rich.cells import cell_len, set_cell_size

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""A statement or a line of source must not talk to the terminal."""

_ASCII = str.maketrans(
    {"─": "-", "·": "-", "×": "x", "→": ">", "▲": "^", "…": ".", "┃": "#", "│": "|"}
    | dict.fromkeys("┏┗", "#")
    | dict.fromkeys("┌└", "|")
)


class Styled:
    """One line, in parts: (text, style). Those from `source` on are the program's."""

    __slots__ = ("parts", "source")

    def __init__(self, text: str = "", style: str = "") -> None:
        self.parts: list[tuple[str, str]] = [(text, style)] if text else []
        self.source: int | None = None

    def append(self, text: str, style: str = "") -> Styled:
        self.parts.append((text, style))
        return self

    def append_source(self, parts: list[tuple[str, str]]) -> None:
        """The program's own text, which keeps its letters where there is no box art either."""
        self.source = len(self.parts)
        self.parts += parts

    def __len__(self) -> int:
        return sum(len(text) for text, _ in self.parts)

    def ready(self, width: int | None, *, unicode: bool) -> Styled:
        """Fit to be printed: harmless, not wider than so many columns, no blanks at its end."""
        own = len(self.parts) if self.source is None else self.source
        if not unicode:
            self.parts[:own] = [(text.translate(_ASCII), style) for text, style in self.parts[:own]]
        self.parts = [
            (text if text.isprintable() else _CONTROL.sub("�", text), style)
            for text, style in self.parts
        ]
        if width is not None:
            self._truncate(width, "…" if unicode else "")
        while self.parts:
            text, style = self.parts.pop()
            if text := text.rstrip():
                self.parts.append((text, style))
                break
        return self

    def _truncate(self, width: int, ellipsis: str) -> None:
        if sum(_cells(text) for text, _ in self.parts) <= width:
            return
        room = width - len(ellipsis)
        for index, (text, style) in enumerate(self.parts):
            cells = _cells(text)
            if cells > room:
                self.parts[index:] = [(set_cell_size(text, room) + ellipsis, style)]
                return
            room -= cells

    @property
    def plain(self) -> str:
        return "".join([text for text, _ in self.parts])

    @property
    def ansi(self) -> str:
        """With the escape sequences of its colours."""
        return "".join([_colored(text, style) for text, style in self.parts])


def wrapped(pieces: list[str], width: int | None, *, first: Styled, indent: int) -> list[Styled]:
    """Pieces that follow `first` behind dots, on as many lines as it takes."""
    lines = [first]
    for index, piece in enumerate(pieces):
        separator = " · " if index else ""
        if width is not None and index and len(lines[-1]) + len(separator) + len(piece) > width:
            lines.append(Styled(" " * indent))
            separator = ""
        lines[-1].append(separator + piece)
    return lines


def folded(text: str, width: int, indent: int = 0) -> list[str]:
    """A text on lines of so many columns, those after the first indented."""
    if len(text) <= width and text.isprintable():
        return [text.rstrip()]
    return _wrapper(max(width, 20), indent).wrap(text) or [""]


@functools.lru_cache(maxsize=64)
def _wrapper(width: int, indent: int) -> TextWrapper:
    return TextWrapper(
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )


def highlighted(source: list[str]) -> list[list[tuple[str, str]]]:
    """Lines of Python, each in the parts that have a colour of their own."""
    from rich.console import Console
    from rich.syntax import Syntax

    syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
    lines = list(syntax.highlight("\n".join(source)).split("\n", allow_blank=True))
    if len(lines) < len(source):  # pygments strips blank lines at the ends
        return [[(line, "")] for line in source]
    console = Console(color_system="standard", force_terminal=True, no_color=False)
    return [[(part.text, str(part.style or "")) for part in line.render(console)] for line in lines]


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _colored(text: str, style: str) -> str:
    before, after = _escapes(style)
    return f"{before}{text}{after}"


@functools.lru_cache(maxsize=256)
def _escapes(style: str) -> tuple[str, str]:
    from rich.color import ColorSystem
    from rich.style import Style

    before, _, after = (
        Style.parse(style).render("\0", color_system=ColorSystem.STANDARD).partition("\0")
    )
    return before, after
