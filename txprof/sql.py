"""What a statement's text tells: does it begin or end a transaction, which tables may it lock."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any

from txprof.bytext import ByText, by_text
from txprof.places import Start

_COMMENT = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)"
_BEGIN = (
    r"(?:begin(?:\s+(?:work|transaction|tran|deferred|immediate|exclusive|concurrent))*"
    r"|start\s+transaction)"
    r"(?:\s+(?:isolation|read|not|deferrable|with)\b[^;]*)?"
)
_COMMIT = r"(?:commit|end)(?:\s+(?:work|transaction|tran))?(?:\s+and\s+(?:no\s+)?chain)?"
_ROLLBACK = r"(?:rollback|abort)(?:\s+(?:work|transaction|tran))?(?:\s+and\s+(?:no\s+)?chain)?"
# Compiled by `re` with its first use: not each time that a test suite starts.
_CONTROL = (
    rf"{_COMMENT}*(?:(?P<begin>{_BEGIN})|(?P<commit>{_COMMIT})|(?P<rollback>{_ROLLBACK}))"
    rf"{_COMMENT}*;?{_COMMENT}*\Z"
)
_CONTROLLING = frozenset({"begin", "start", "commit", "end", "rollback", "abort"})
_MAY_LOCK = re.compile(
    r"\b(?:insert|update|delete|merge|replace|truncate|lock)\b|\bfor\s+(?:key\s+)?share\b",
    re.IGNORECASE,
)
_VERB = re.compile(rf"(?:{_COMMENT}|\()*([a-z]+)", re.IGNORECASE | re.DOTALL)
_READING = frozenset({"select", "with", "values", "table"})
_WRITING = frozenset({"insert", "update", "delete", "merge", "replace"})
_WRITTEN = r"\b(?:insert\s+into|update\s+\w|delete\s+from)\b"


class Effect(IntEnum):
    """What running a statement does to the transaction it runs in."""

    NONE = 0
    BEGIN = 1
    COMMIT = 2
    ROLLBACK = 3
    MAY_LOCK = 4


class Text(Start):
    """A statement text that was seen: its effect, and where its paths begin."""

    __slots__ = ("effect", "reads", "writes")

    def __init__(self, statement: str) -> None:
        super().__init__()
        verb = _VERB.match(statement)
        word = verb[1].lower() if verb is not None else ""
        self.effect = _classified(statement, word)
        # A WITH may lead to either.
        self.writes = word in _WRITING or (
            word == "with" and re.search(_WRITTEN, statement, re.IGNORECASE) is not None
        )
        self.reads = word in _READING and not self.writes


text = ByText(Text, most=10_000, characters=4_000_000)
"""What is known of a statement, by its text alone."""

texts = text.known
"""Of those seen so far; for the statement sensor, which cannot afford a call."""


def _classified(statement: str, word: str) -> Effect:
    if word in _CONTROLLING and len(statement) < 500:
        control = re.match(_CONTROL, statement, re.IGNORECASE | re.DOTALL)
        if control is not None:
            return Effect[str(control.lastgroup).upper()]
    return Effect.MAY_LOCK if _MAY_LOCK.search(statement) else Effect.NONE


@by_text(most=1_000, characters=1_000_000)
def locked_tables(statement: str) -> tuple[str, ...]:
    """The tables in which a statement locks rows, or that it locks, as written in it.

    `SELECT ... FOR UPDATE` locks in every table it reads (or those of its OF list), a write in the
    one that it writes. A text that sqlparse cannot make sense of locks nothing we can name.
    """
    import sqlparse

    tables: dict[str, None] = {}
    for parsed in sqlparse.parse(statement):
        statement_tokens: Any = parsed  # sqlparse has no types
        tokens = [token for token in statement_tokens.flatten() if not _is_filler(token)]
        for name in _locked_in(tokens):
            tables[name] = None
    return tuple(tables)


def _is_filler(token: Any) -> bool:
    from sqlparse import tokens as T

    kind = token.ttype
    return kind in T.Whitespace or kind in T.Comment


def _locked_in(tokens: list[Any]) -> list[str]:
    words = [token.value.upper() for token in tokens]
    written = _written_table(tokens, words)
    if written is not None:
        return written
    lock = _row_lock(words)
    if lock is None:
        return []
    read: dict[str, str] = {}  # table by alias
    for index, word in enumerate(words[:lock]):
        if word == "FROM" or word.endswith("JOIN"):
            read.update((alias, name) for name, alias in _references(tokens, words, index + 1))
    if "OF" in words[lock:]:
        named = _references(tokens, words, lock + words[lock:].index("OF") + 1)
        return [read.get(alias, alias) for alias, _ in named]
    return list(read.values())


def _written_table(tokens: list[Any], words: list[str]) -> list[str] | None:
    """The table of the first writing verb that stands where a statement can start."""
    depth = 0
    for index, word in enumerate(words):
        depth += (word == "(") - (word == ")")
        if word not in _WRITES or not _starts_statement(words, index):
            continue
        after = index + 1
        while after < len(words) and words[after] in _WRITES[word]:
            after += 1
        names = [name for name, _ in _references(tokens, words, after)]
        return names if word in ("LOCK", "TRUNCATE") else names[:1]
    return None


_WRITES: dict[str, tuple[str, ...]] = {
    "INSERT": ("INTO", "OR", "REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK", "LOW_PRIORITY"),
    "REPLACE": ("INTO",),
    "UPDATE": ("ONLY", "OR", "REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK", "LOW_PRIORITY"),
    "DELETE": ("FROM", "ONLY", "IGNORE", "LOW_PRIORITY", "QUICK"),
    "MERGE": ("INTO",),
    "LOCK": ("TABLE", "TABLES", "ONLY"),
    "TRUNCATE": ("TABLE", "ONLY"),
}


def _starts_statement(words: list[str], index: int) -> bool:
    # First word, or after the "(" or ")" of a WITH's common table expression.
    before = words[index - 1] if index else ""
    return before in ("", ";", "(", ")") and (index == 0 or words[0] == "WITH" or before == ";")


def _row_lock(words: list[str]) -> int | None:
    for index, word in enumerate(words):
        if word == "FOR" and set(words[index + 1 : index + 4]) & {"UPDATE", "SHARE"}:
            return index
        if word in ("FOR UPDATE", "FOR SHARE"):
            return index
        if word == "LOCK" and words[index + 1 : index + 4] == ["IN", "SHARE", "MODE"]:
            return index
    return None


def _references(tokens: list[Any], words: list[str], start: int) -> list[tuple[str, str]]:
    """The tables listed from `start` on: (`schema.name`, alias or the name again), unquoted."""
    found: list[tuple[str, str]] = []
    index = start
    while index < len(words) and _is_name(tokens[index]):
        name = alias = _unquoted(tokens[index].value)
        index += 1
        while index + 1 < len(words) and words[index] == "." and _is_name(tokens[index + 1]):
            alias = _unquoted(tokens[index + 1].value)
            name = f"{name}.{alias}"
            index += 2
        if index < len(words) and words[index] == "AS":
            index += 1
        if index < len(words) and words[index] != "," and _is_name(tokens[index]):
            alias = _unquoted(tokens[index].value)
            index += 1
        found.append((name, alias))
        if index >= len(words) or words[index] != ",":
            break
        index += 1
    return found


def _is_name(token: Any) -> bool:
    from sqlparse import tokens as T

    kind = token.ttype
    if kind in T.Name or kind in T.Literal.String.Symbol:
        return True
    # A table named like a word that is no keyword of its place: `order`, `user`, `details`.
    word = token.value
    return kind in T.Keyword and word.upper() not in _NEVER_NAMES and word.isidentifier()


_NEVER_NAMES = frozenset(
    [
        "SET",
        "VALUES",
        "WHERE",
        "SELECT",
        "FROM",
        "USING",
        "ON",
        "IN",
        "AS",
        "FOR",
        "WITH",
        "ORDER",
        "GROUP",
        "LIMIT",
        "INNER",
        "LEFT",
        "RIGHT",
        "FULL",
        "CROSS",
        "JOIN",
        "NATURAL",
        "HAVING",
        "DEFAULT",
        "RETURNING",
        "UNION",
        "WHEN",
        "NOWAIT",
        "SKIP",
        "OF",
        "UPDATE",
        "SHARE",
        "OUTER",
    ]
)


def _unquoted(name: str) -> str:
    for opening, closing in (('"', '"'), ("`", "`"), ("[", "]")):
        if len(name) > 1 and name.startswith(opening) and name.endswith(closing):
            return name[1:-1]
    return name
