"""What a statement's text tells."""

from __future__ import annotations

import pytest

from txprof.sql import Effect, locked_tables, text


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("BEGIN", Effect.BEGIN),
        ("begin;", Effect.BEGIN),
        ("/* tag */ BEGIN IMMEDIATE -- now", Effect.BEGIN),
        ("START TRANSACTION READ ONLY", Effect.BEGIN),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", Effect.BEGIN),
        ("BEGIN dbms_output.put_line('x'); END;", Effect.NONE),
        ("COMMIT", Effect.COMMIT),
        ("-- done\nEND", Effect.COMMIT),
        ("COMMIT PREPARED 'x'", Effect.NONE),
        ("ROLLBACK", Effect.ROLLBACK),
        ("rollback work ;", Effect.ROLLBACK),
        ("ROLLBACK TO SAVEPOINT x", Effect.NONE),
        ("ROLLBACK TO x", Effect.NONE),
        ("SAVEPOINT x", Effect.NONE),
        ("SELECT 1", Effect.NONE),
        ("SELECT commit FROM begin", Effect.NONE),
        ("INSERT INTO a VALUES (1)", Effect.MAY_LOCK),
        ("SELECT * FROM a FOR UPDATE", Effect.MAY_LOCK),
        ("", Effect.NONE),
    ],
)
def test_the_effect_of_a_statement(statement: str, expected: Effect) -> None:
    assert text(statement).effect is expected
    assert text(statement) is text(statement)


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("INSERT INTO product (id) VALUES (1)", ["product"]),
        ("insert or replace into product values (1)", ["product"]),
        ('INSERT INTO shop."order" (id) SELECT id FROM cart', ["shop.order"]),
        ("UPDATE product SET name = 'update detail' WHERE id = 1", ["product"]),
        ("UPDATE ONLY `orders_2024` SET x = 1", ["orders_2024"]),
        ("DELETE FROM product WHERE id IN (SELECT id FROM old)", ["product"]),
        ("/* why */ DELETE FROM [dbo].[product]", ["dbo.product"]),
        ("MERGE INTO product USING staging ON 1 = 1", ["product"]),
        ("WITH old AS (SELECT 1) DELETE FROM product", ["product"]),
        ("WITH gone AS (DELETE FROM product RETURNING id) SELECT * FROM gone", ["product"]),
        ("SELECT * FROM product p JOIN detail d ON d.id = p.id FOR UPDATE", ["product", "detail"]),
        ("SELECT * FROM product AS p, detail AS d FOR UPDATE OF d", ["detail"]),
        ("SELECT id FROM product FOR NO KEY UPDATE SKIP LOCKED", ["product"]),
        ("SELECT id FROM product LOCK IN SHARE MODE", ["product"]),
        ("LOCK TABLE product, detail IN EXCLUSIVE MODE", ["product", "detail"]),
        ("TRUNCATE TABLE product", ["product"]),
        ("SELECT 'FOR UPDATE' FROM product", []),
        ("SELECT updated FROM product WHERE note = 'delete from x'", []),
        ("SELECT 1", []),
        ("INSERT", []),
        ("'''(((", []),
        ("", []),
    ],
)
def test_the_tables_a_statement_locks(statement: str, tables: list[str]) -> None:
    assert list(locked_tables(statement)) == tables
