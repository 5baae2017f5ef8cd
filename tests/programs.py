"""Programs that hypothesis writes: every kind of control flow, and they always end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

FUNCTIONS = 3
TICKS = 200

EXPRESSIONS = (
    "x + 1",
    "tick()",
    "tick() if x % 2 else x",
    "x and tick() or tick()",
    "max(\n    tick(),\n    x,\n)",
    "(\n    tick()\n    + tick()\n)",
    "(lambda: tick())()",
    "sum([tick() for _ in range(2)])",
    "sum(\n    [\n        tick()\n        for i in range(3)\n        if i\n    ]\n)",
    "sum(tick() for _ in range(2))",
    "len(\n    {i: x for i in range(2)},\n)",
)
CONDITIONS = (
    "x % 2",
    "x % 3 == 0",
    "tick() % 2",
    "(\n    x % 2\n    and tick() % 2\n)",
    "not x",
    "True",
)
CATCHES = ("except ValueError:", "except (ValueError, KeyError) as error:", "except Exception:")


class OutOfTicks(BaseException):
    """Ends a program that runs for too long, from inside and past its `except Exception`."""


class Ticks:
    """The time of a program: each call of it is one second, and there are only so many."""

    def __init__(self) -> None:
        self.now = 0
        self.seen: Callable[[], None] = lambda: None

    def __call__(self) -> int:
        if self.now >= TICKS:
            raise OutOfTicks
        self.now += 1
        self.seen()
        return self.now

    def time(self) -> float:
        return float(self.now)


class Manager:
    """A context manager that takes time, and may swallow what is raised in its block."""

    def __init__(self, ticks: Ticks, swallows: bool) -> None:
        self._ticks = ticks
        self._swallows = swallows

    def __enter__(self) -> int:
        return self._ticks()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._ticks()
        return self._swallows and kind is not None and issubclass(kind, Exception)


class _Writer:
    """Writes statements; `depth` is how deep blocks may nest from here, `loop` if one is around."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._numbers = itertools.count()

    def program(self) -> str:
        lines = []
        for number in range(FUNCTIONS):
            lines += [f"def f{number}(x, depth):", *_indented(self.block(2, loop=False)), "", ""]
        return "\n".join(lines)

    def block(self, depth: int, *, loop: bool) -> list[str]:
        return [
            line for _ in range(self._number(1, 3)) for line in self._statement(depth, loop=loop)
        ]

    def _statement(self, depth: int, *, loop: bool) -> list[str]:
        kinds: list[Callable[..., list[str]]] = [
            self._assign,
            self._assign,
            self._call,
            self._leave,
        ]
        if depth:
            kinds += [self._if, self._for, self._while, self._try, self._with, self._match]
            kinds += [self._nested]
        return self._pick(kinds)(depth - 1, loop)

    def _assign(self, _depth: int, _loop: bool) -> list[str]:
        return f"x = {self._pick(EXPRESSIONS)}".split("\n")

    def _call(self, _depth: int, _loop: bool) -> list[str]:
        callee = f"f{self._number(0, FUNCTIONS - 1)}"
        return self._pick(
            (
                [f"x = {callee}(x, depth - 1) if depth else x"],
                ["if depth:", f"    {callee}(", "        tick(),", "        depth - 1,", "    )"],
                ["if depth:", f"    return {callee}(x, depth - 1)"],
            )
        )

    def _leave(self, _depth: int, loop: bool) -> list[str]:
        ways = ["pass", "return x", "raise ValueError(x)", "raise KeyError(tick())", "assert x % 2"]
        way = self._pick([*ways, "break", "continue"] if loop else ways)
        if self._number(0, 4) == 0:
            return [way]
        return [*self._condition("if"), f"    {way}"]

    def _if(self, depth: int, loop: bool) -> list[str]:
        lines = [*self._condition("if"), *self._body(depth, loop)]
        if self._yes():
            lines += [*self._condition("elif"), *self._body(depth, loop)]
        return lines + self._maybe("else:", depth, loop)

    def _for(self, depth: int, loop: bool) -> list[str]:
        head = self._pick(
            ("for i in range(3):", "for i in (x, tick()):", "for i in [\n    x,\n    tick(),\n]:")
        )
        return [*head.split("\n"), *self._body(depth, True), *self._maybe("else:", depth, loop)]

    def _while(self, depth: int, loop: bool) -> list[str]:
        count = f"n{next(self._numbers)}"
        test = f"while {count} < {self._number(0, 3)}:"
        step = [f"    {count} += 1"]
        body = [*step, *self._body(depth, True)]
        return [f"{count} = 0", test, *body, *self._maybe("else:", depth, loop)]

    def _try(self, depth: int, loop: bool) -> list[str]:
        lines = ["try:", *self._body(depth, loop)]
        caught = self._yes()
        if caught:
            lines += [self._pick(CATCHES), *self._body(depth, loop)]
            lines += self._maybe("else:", depth, loop)
        if not caught or self._yes():
            lines += ["finally:", *self._body(depth, loop)]
        return lines

    def _with(self, depth: int, loop: bool) -> list[str]:
        manager = f"manager({self._yes()})"
        head = self._pick(
            (
                f"with {manager}:",
                f"with {manager} as x:",
                f"with manager(False), {manager}:",
                f"with (\n    manager(False) as a,\n    {manager} as b,\n):",
            )
        )
        return [*head.split("\n"), *self._body(depth, loop)]

    def _match(self, depth: int, loop: bool) -> list[str]:
        lines = [f"match {self._pick(('x % 3', 'tick() % 3', '(x % 2, x)'))}:"]
        for case in ("0", "1 | 2 if tick() % 2", "(0, y)"):
            if self._yes():
                lines += _indented([f"case {case}:", *self._body(depth, loop)])
        return [*lines, "    case _:", *_indented(self._body(depth, loop))]

    def _nested(self, depth: int, _loop: bool) -> list[str]:
        name = f"g{next(self._numbers)}"
        return [f"def {name}(x):", *self._body(depth, False), f"x = {name}(x) or x"]

    def _body(self, depth: int, loop: bool) -> list[str]:
        return _indented(self.block(depth, loop=loop))

    def _maybe(self, head: str, depth: int, loop: bool) -> list[str]:
        return [head, *self._body(depth, loop)] if self._yes() else []

    def _condition(self, keyword: str) -> list[str]:
        return f"{keyword} {self._pick(CONDITIONS)}:".split("\n")

    def _yes(self) -> bool:
        return self._draw(st.booleans())

    def _number(self, least: int, most: int) -> int:
        return self._draw(st.integers(least, most))

    def _pick(self, choices: Any) -> Any:
        return self._draw(st.sampled_from(choices))


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Source of functions f0, f1, ... of (x, depth) that call each other, depth at a time."""
    return _Writer(draw).program()
