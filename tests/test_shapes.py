"""Statement shapes, and what the values in a text are for."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txprof.shapes import is_chunked, is_paged, rows_written, shape, slots


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT * FROM a WHERE id = 1", "SELECT * FROM a WHERE id = 2"),
        ("SELECT * FROM a WHERE id = 1", "SELECT * FROM a WHERE id = ?"),
        ("SELECT * FROM a WHERE id = %(id_1)s", "SELECT * FROM a WHERE id = $1::INTEGER"),
        ("SELECT * FROM a WHERE x = 'it''s'", "SELECT * FROM a WHERE x = 'b'"),
        ("SELECT * FROM a WHERE x > -1", "SELECT * FROM a WHERE x > 1.5e3"),
        ("select  *\nfrom a -- all\n", "SELECT * FROM a"),
        ("SELECT /* tag */ * FROM a", "SELECT * FROM a"),
        ("SELECT * FROM a WHERE id IN (1)", "SELECT * FROM a WHERE id IN (?, ?, ?)"),
        ("SELECT 1 WHERE (x, y) IN ((1, 2))", "SELECT 1 WHERE (x, y) IN ((?, ?), (3, 4))"),
        ("SELECT * FROM a WHERE x = ANY(ARRAY[1])", "SELECT * FROM a WHERE x = ANY(ARRAY[1, 2])"),
        ("INSERT INTO a (x) VALUES (1)", "INSERT INTO a (x) VALUES (1), (2), (3)"),
        ("INSERT INTO a (x) VALUES (DEFAULT)", "INSERT INTO a (x) VALUES (?), (NULL)"),
        ("SELECT `x` FROM `a` LIMIT 5, 10", "SELECT `x` FROM `a` LIMIT 10, 10"),
        ("SELECT $$a$$", "SELECT $$b$$"),
    ],
)  # fmt: skip
def test_values_are_no_part_of_a_shape(one: str, other: str) -> None:
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT * FROM orders_2024", "SELECT * FROM orders_2025"),
        ("SELECT a1 FROM t", "SELECT a2 FROM t"),
        ('SELECT "x1" FROM t', 'SELECT "x2" FROM t'),
        ('SELECT "X" FROM t', 'SELECT "x" FROM t'),
        ("SELECT `x1` FROM t", "SELECT `x2` FROM t"),
        ("SELECT * FROM a WHERE x = 1", "SELECT * FROM a WHERE x > 1"),
        ("SELECT * FROM a WHERE x IS NULL", "SELECT * FROM a WHERE x = 1"),
        ("SELECT coalesce(a, 1)", "SELECT coalesce(a, 1, 2)"),
        ("SELECT * FROM a WHERE x IN (SELECT 1)", "SELECT * FROM a WHERE x IN (1)"),
    ],
)
def test_what_is_asked_of_what_is(one: str, other: str) -> None:
    assert shape(one) != shape(other)


@pytest.mark.parametrize("text", ["SELECT \\ 'unclosed", "\x00", "x" * 200_000])
def test_a_text_that_cannot_be_read_is_its_own_shape(text: str) -> None:
    assert shape(text) == text


@given(st.text(alphabet=string.printable, max_size=80))
def test_nothing_raises(text: str) -> None:
    assert isinstance(shape(text), str)
    assert all(slot.role for slot in slots(text))


def varying(text: str, *names: str) -> set[int]:
    return {index for index, slot in enumerate(slots(text)) if slot.name in names}


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("SELECT * FROM a LIMIT :n OFFSET :m", ["m"], True),
        ("SELECT * FROM a LIMIT :n OFFSET :m", ["n", "m"], True),
        ("SELECT * FROM a LIMIT :m, :n", ["m"], True),
        ("SELECT * FROM a OFFSET :m ROWS FETCH NEXT :n ROWS ONLY", ["m"], True),
        ("SELECT * FROM a WHERE id > :id ORDER BY id LIMIT :n", ["id"], True),
        ("SELECT * FROM a WHERE :id < id ORDER BY id LIMIT :n", ["id"], True),
        ("SELECT * FROM a WHERE (x, id) > (:x, :id) ORDER BY x, id LIMIT :n", ["x", "id"], True),
        (
            "SELECT * FROM a WHERE x > :x OR (x = :y AND id > :id) ORDER BY x, id LIMIT 5",
            ["x", "y", "id"],
            True,
        ),
        ("SELECT * FROM a WHERE id >= :x AND id < :y", ["x", "y"], True),
        ("SELECT * FROM a WHERE id BETWEEN :x AND :y", ["x", "y"], True),
        ("SELECT count(*) FROM a WHERE day >= :x AND day < :y", ["x", "y"], False),
        ("SELECT * FROM a WHERE id = :id LIMIT :n", ["id"], False),
        ("SELECT * FROM a WHERE id > :id", ["id"], False),
        ("SELECT * FROM a WHERE p = :p AND id > :id ORDER BY id LIMIT :n", ["p"], False),
        ("SELECT * FROM a WHERE id = :id OFFSET :m", ["id", "m"], False),
        ("SELECT * FROM a WHERE id = :id", [], False),
    ],
)
def test_pages_are_told_by_the_values_that_change(
    text: str, names: list[str], expected: bool
) -> None:
    assert is_paged(text, varying(text, *names)) is expected


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("SELECT * FROM a WHERE id IN (:a, :b)", ["a", "b"], True),
        ("SELECT * FROM a WHERE (x, y) IN ((:a, :b), (:c, :d))", ["a", "b", "c", "d"], True),
        ("SELECT * FROM a WHERE id IN (:a)", ["a"], False),
        ("SELECT * FROM a WHERE p = :p AND id IN (:a, :b)", ["p", "a", "b"], False),
    ],
)
def test_chunks_are_told_by_the_values_that_change(
    text: str, names: list[str], expected: bool
) -> None:
    assert is_chunked(text, varying(text, *names)) is expected


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("INSERT INTO a (x, y) VALUES (?, ?)", 1),
        ("INSERT INTO a (x, y) VALUES (?, ?), (1, (SELECT 2)), (3, coalesce(?, 4))", 3),
        ("INSERT INTO a SELECT * FROM b", 1),
        ("UPDATE a SET x = ?", 1),
    ],
)
def test_the_rows_of_an_insert_are_counted(text: str, rows: int) -> None:
    assert rows_written(text) == rows
