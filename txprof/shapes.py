"""Statement shapes: the text without its values, and what its values are for.

Two texts have one shape if they differ in literals, in the length of IN lists, in the number of
VALUES rows, in white space, case or comments. Identifiers with digits stay apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from txprof.bytext import by_text

_LONGEST = 100_000
"""Characters; a longer text is its own shape: reading it would take a second."""

VALUE = "?"

# Compiled by `re` with its first use: not each time that a test suite starts.
_LOOSE = r" ([.,)\]])|(?<=[.(\[]) "
_GROUPED = r"\b(?:count|sum|avg|min|max) \(|\bgroup by\b"
_COMPARED = frozenset({"<", ">", "<=", ">="})


class Slot(NamedTuple):
    """A value in a text: what it is for, and the name of its parameter if it has one."""

    role: str
    """"offset", "limit", "range" (compared by < or >), "in", or "equal" for any other."""
    name: str | None
    text: str


class _Word(NamedTuple):
    text: str
    is_value: bool
    name: str | None = None


@by_text(most=10_000, characters=2_000_000)
def shape(statement: str) -> str:
    """The shape of a text; one that sqlparse cannot make sense of is its own."""
    words = _words(statement)
    if words is None:
        return statement
    text = " ".join(_collapsed([VALUE if word.is_value else word.text for word in words]))
    return re.sub(_LOOSE, lambda found: found[1] or "", text)


@by_text(most=2_000, characters=500_000)
def slots(statement: str) -> tuple[Slot, ...]:
    """The values of a text, in their order."""
    words = _words(statement) or []
    found = []
    opened: list[int] = []
    for index, word in enumerate(words):
        if word.text == "(":
            opened.append(index)
        elif word.text == ")" and opened:
            opened.pop()
        elif word.is_value:
            found.append(Slot(_role(words, index, opened), word.name, word.text))
    return tuple(found)


def is_paged(statement: str, varying: set[int]) -> bool:
    """Whether the values that differ from one run to the next (by index in `slots`) turn pages.

    By OFFSET, by the key of the last row (ORDER BY, LIMIT, and a comparison by < or >), or from one
    value to another; not where the rows are counted or summed, which GROUP BY does in one query.
    """
    found = slots(statement)
    roles = [found[index].role for index in varying if index < len(found)]
    if not roles:
        return False
    if set(roles) <= {"offset", "limit"}:
        return True
    text = shape(statement)
    if set(roles) == {"range"} and len(roles) > 1 and not re.search(_GROUPED, text):
        return True  # from here to there: one part of a table after the other
    ordered = "order by" in text and (" limit " in text or " fetch " in text)
    if not ordered or "range" not in roles or not set(roles) <= {"range", "equal", "offset"}:
        return False
    # (a, id) > (?, ?), written out, is: a > ? OR (a = ? AND id > ?)
    return roles.count("equal") < roles.count("range")


def is_chunked(statement: str, varying: set[int]) -> bool:
    """Whether these are IN lists of more than one: many rows a query."""
    found = slots(statement)
    roles = [found[index].role for index in varying if index < len(found)]
    return bool(roles) and set(roles) == {"in"} and sum(s.role == "in" for s in found) > 1


@by_text(most=2_000, characters=500_000)
def rows_written(statement: str) -> int:
    """How many VALUES rows a text has; 1 for a longer one than is read."""
    words = [word.text for word in _words(statement) or ()]
    if "values" not in words:
        return 1
    depth = rows = 0
    for word in words[words.index("values") + 1 :]:
        if word == "(":
            rows += depth == 0
            depth += 1
        elif word == ")":
            depth -= 1
    return rows


def _role(words: Sequence[_Word], index: int, opened: Sequence[int]) -> str:
    before = _text(words, index - 1)
    if before in ("offset", "limit"):
        # MySQL's LIMIT offset, count
        return "offset" if before == "limit" and _text(words, index + 1) == "," else before
    if before in ("next", "first") and "fetch" in (_text(words, index - 2),):
        return "limit"
    if before == "," and _text(words, index - 3) == "limit":
        return "limit"
    if before in _COMPARED or _text(words, index + 1) in _COMPARED or before == "between":
        return "range"
    if before == "and" and _text(words, index - 3) == "between":
        return "range"
    for parenthesis in reversed(opened):
        opener = _text(words, parenthesis - 1)
        if opener == "in":
            return "in"
        if opener in _COMPARED:
            return "range"
        if opener not in ("(", ","):
            break
    return "equal"


def _text(words: Sequence[_Word], index: int) -> str:
    return words[index].text if 0 <= index < len(words) else ""


def _words(statement: str) -> list[_Word] | None:
    if len(statement) > _LONGEST:
        return None
    try:
        return list(_lexed(statement))
    except Exception:  # a text that no lexer of SQL understands
        return None


def _lexed(statement: str) -> Iterator[_Word]:
    from sqlparse import lexer
    from sqlparse import tokens as T

    tokenize: Any = lexer.tokenize  # sqlparse has no types
    typed = False
    for kind, text in tokenize(statement):
        if kind in T.Error:
            raise ValueError(text)
        if kind in T.Whitespace or kind in T.Comment:
            continue
        if text == "::":  # PostgreSQL's $1::INTEGER: a type, not a part of the shape
            typed = True
        elif typed:
            typed = False
        elif kind in T.Name.Placeholder:
            yield _Word(text, True, text.lstrip("%:$@").removesuffix("s").strip("()") or None)
        elif kind in T.Literal and kind not in T.Literal.String.Symbol:
            yield _Word(text, True)
        elif kind in T.Literal.String.Symbol or text[:1] in "`[":
            yield _Word(text, False)
        else:
            # "ORDER  BY" is one keyword of sqlparse's.
            for word in text.lower().split():
                yield _Word(word, False)


def _collapsed(words: list[str]) -> list[str]:
    """With lists of values after IN, VALUES and ARRAY as one value, and rows of them as one row."""
    kept: list[str] = []
    index = 0
    while index < len(words):
        kept.append(words[index])
        index += 1
        if kept[-1] in ("in", "values", "array") and index < len(words) and words[index] in "([":
            end = _end_of_values(words, index)
            if end:
                kept += ["(", VALUE, ")"]
                index = end
                while kept[-4] == "values" and words[index : index + 2] == [",", "("]:
                    end = _end_of_values(words, index + 1)
                    if not end:
                        break
                    index = end
    return kept


def _end_of_values(words: list[str], start: int) -> int:
    """The index behind a parenthesis that holds nothing but values; 0 if it holds more."""
    depth = 0
    for index in range(start, len(words)):
        word = words[index]
        if word in ("(", "["):
            depth += 1
        elif word in (")", "]"):
            depth -= 1
            if depth == 0:
                return index + 1
        elif word not in (VALUE, ",", "default", "null"):
            return 0
    return 0
