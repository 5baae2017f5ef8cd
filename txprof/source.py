"""The program's source, read for the listing and for `# txprof: allow[...]` comments."""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import re
from collections.abc import Iterator
from types import CodeType

# Compiled by `re` with its first use: not each time that a test suite starts.
_ALLOW = r"#\s*txprof:\s*allow\[(?P<rules>[^\]]*)\]\s*(?P<reason>.*)"


def function_source(code: CodeType) -> list[str] | None:
    """The lines of a function: see `source_at`."""
    first = code.co_firstlineno
    last = max((line for _, _, line in code.co_lines() if line), default=first)
    return source_at(code.co_filename, first, last, code.co_name)


def source_at(file: str, first: int, last: int, name: str) -> list[str] | None:
    """The lines of a function, from its first decorator or `def`; None if it is not there.

    `last` is the last line known to be the function's. Also None where the file no longer has
    that function at that line: it changed after it was imported, and any line shown would be a
    wrong one.
    """
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    if not lines or first > len(lines):
        return None
    try:
        block = inspect.getblock(lines[first - 1 :])
    except (SyntaxError, IndentationError, ValueError):
        return None
    if last > first + len(block) - 1 and name != "<lambda>":
        return None
    if not name.startswith("<") and not _names_function(block, name):
        return None
    return [line.rstrip("\r\n") for line in block]


def _names_function(block: list[str], name: str) -> bool:
    if not name.isidentifier():
        return True
    definition = re.compile(rf"\b(?:def|class)\s+{re.escape(name)}\b")
    return any(definition.search(line) for line in block)


def allow_comments(file: str, line: int) -> Iterator[tuple[str, str]]:
    """(rule, reason) of each `# txprof: allow[rule, rule] reason` on the statement at a line."""
    lines = linecache.getlines(file)
    first, last = _statement_span(file, line)
    for text in lines[first - 1 : last]:
        comment = re.search(_ALLOW, text)
        if comment is not None:
            for rule in comment["rules"].split(","):
                yield rule.strip(), comment["reason"].strip()


_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@functools.lru_cache(maxsize=4_096)
def is_in_loop(file: str, line: int) -> bool:
    """Whether the line is run again and again: in the body of a loop, or in a comprehension."""
    for node in _nodes(file):
        if isinstance(node, _LOOPS):
            first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
            if isinstance(node, ast.While):
                first = node.lineno
        elif isinstance(node, _COMPREHENSIONS):
            first, last = node.lineno, node.end_lineno or 0
        else:
            continue
        if first <= line <= last:
            return True
    return False


def enclosing_with(file: str, line: int, opened_line: int) -> str | None:
    """The innermost `with` statement around both lines, as written: "with Session.begin()"."""
    best: ast.With | ast.AsyncWith | None = None
    for node in _nodes(file):
        if (
            isinstance(node, ast.With | ast.AsyncWith)
            and node.lineno <= min(line, opened_line)
            and (node.end_lineno or 0) >= max(line, opened_line)
            and (best is None or node.lineno > best.lineno)
        ):
            best = node
    if best is None:
        return None
    keyword = "async with" if isinstance(best, ast.AsyncWith) else "with"
    items = ", ".join(ast.unparse(item.context_expr) for item in best.items)
    return f"{keyword} {items}"


def _statement_span(file: str, line: int) -> tuple[int, int]:
    """First and last line of the simple statement, or compound statement's head, at a line."""
    best = (line, line)
    size = None
    for node in _nodes(file):
        if not isinstance(node, ast.stmt):
            continue
        last = node.end_lineno or node.lineno
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.AST):
            last = max(node.lineno, body[0].lineno - 1)  # type: ignore[attr-defined]
        if node.lineno <= line <= last and (size is None or last - node.lineno < size):
            best, size = (node.lineno, last), last - node.lineno
    return best


def _nodes(file: str) -> tuple[ast.AST, ...]:
    try:
        return _parsed("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, SystemError, RecursionError):
        return ()  # SystemError: CPython 3.11's parser in a greenlet


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(text)))
