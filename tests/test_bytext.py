"""What is known of statements' texts is kept in bounded memory."""

from __future__ import annotations

import pytest

from txprof import shapes, sql
from txprof.bytext import ByText


def upper(most: int = 100, characters: int = 100) -> tuple[ByText[str], list[str]]:
    """A function that remembers, and the texts for which it ran."""
    ran: list[str] = []

    def function(text: str) -> str:
        ran.append(text)
        return text.upper()

    return ByText(function, most=most, characters=characters), ran


def test_it_runs_once_for_a_text_that_comes_again() -> None:
    function, ran = upper()
    assert [function("a"), function("b"), function("a")] == ["A", "B", "A"]
    assert ran == ["a", "b"]


def test_it_forgets_when_there_are_too_many_texts() -> None:
    function, _ = upper(most=3)
    assert [function(text) for text in "abcd"] == ["A", "B", "C", "D"]
    assert function.known == {"d": "D"}


def test_it_forgets_when_there_are_too_many_characters() -> None:
    function, _ = upper(characters=10)
    for text in ("aaaa", "bbbb", "cc"):
        function(text)
    assert list(function.known) == ["aaaa", "bbbb", "cc"]
    function("d")
    assert list(function.known) == ["d"]
    function("e" * 9)
    assert list(function.known) == ["d", "e" * 9], "the count began anew"


def test_a_text_that_is_too_long_by_itself_replaces_the_others() -> None:
    function, _ = upper(characters=10)
    function("a")
    assert function("b" * 20) == "B" * 20
    assert list(function.known) == ["b" * 20]
    function("c")
    assert list(function.known) == ["c"]


def test_what_is_known_of_long_statements_does_not_add_up() -> None:
    columns = ", ".join(f"column_{number}" for number in range(2_000))
    for number in range(400):
        assert sql.text(f"SELECT {columns} FROM table_{number}").reads
    assert sum(map(len, sql.texts)) <= 4_000_000
    assert sql.texts is sql.text.known


@pytest.mark.parametrize("function", [sql.locked_tables, shapes.shape, shapes.slots])
def test_nor_does_what_is_read_out_of_them(function: object) -> None:
    assert isinstance(function, ByText)
