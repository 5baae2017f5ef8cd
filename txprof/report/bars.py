"""Bars for a terminal, as long as a number is large."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(value: float, largest: float, width: int, *, unicode: bool = True) -> str:
    """A bar of at most `width` columns, for `largest`."""
    if largest <= 0 or value <= 0:
        return ""
    columns = width * min(1.0, value / largest)
    if not unicode:
        return "#" * max(1, round(columns))
    whole, part = divmod(round(columns * 8), 8)
    return "█" * whole + (_EIGHTHS[part] if part else "") or _EIGHTHS[1]
