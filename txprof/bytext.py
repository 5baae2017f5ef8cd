"""What is found out from a statement's text alone, once for each text that comes again.

Kept in bounded memory: a program may paste values into its statements, or send long ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class ByText(Generic[T]):
    """A function of a text that remembers its results: of so many texts, of so many characters.

    Beyond either it forgets all of them: it runs again for those that come again.
    """

    def __init__(self, function: Callable[[str], T], *, most: int, characters: int) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._most = most
        self._characters = characters
        self._kept = 0
        self.known: dict[str, T] = {}
        """Text -> result; for who cannot afford a call."""

    def __call__(self, statement: str) -> T:
        try:
            return self.known[statement]
        except KeyError:
            found = self._function(statement)
        if len(self.known) >= self._most or self._kept + len(statement) > self._characters:
            self.known.clear()
            self._kept = 0
        self._kept += len(statement)
        self.known[statement] = found
        return found


def by_text(*, most: int, characters: int) -> Callable[[Callable[[str], T]], ByText[T]]:
    """Decorates a function of a text, so that it remembers its results."""
    return lambda function: ByText(function, most=most, characters=characters)
