"""Writes: row by row from one line, or many at once."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from corpus.models import Audit, Customer, Line, Order, Product, Review, product_tag
from corpus.program import clean, write_loop

MESSAGES = [f"message {number}" for number in range(12)]


def audits(session: Session) -> int:
    return session.scalars(select(func.count(Audit.id))).one()


@write_loop("row")
def insert_by_row(session: Session) -> int:
    """An INSERT for each message."""
    for message in MESSAGES:
        session.execute(insert(Audit).values(message=message))  # row
    session.commit()
    return audits(session)


@clean
def insert_many(session: Session) -> int:
    """One INSERT with a list: executemany."""
    session.execute(insert(Audit), [{"message": message} for message in MESSAGES])
    session.commit()
    return audits(session)


@clean
def add_all(session: Session) -> int:
    """One flush of many objects."""
    session.add_all(Audit(message=message) for message in MESSAGES)
    session.commit()
    return audits(session)


@write_loop("row")
def commit_by_row(session: Session) -> int:
    """A commit, so a flush, for each object."""
    for message in MESSAGES:
        session.add(Audit(message=message))
        session.commit()  # row
    return audits(session)


@write_loop("row")
def flush_by_row(session: Session) -> list[int]:
    """A flush for each object, to know its identity."""
    numbers = []
    for message in MESSAGES:
        audit = Audit(message=message)
        session.add(audit)
        session.flush()  # row
        numbers.append(audit.id)
    session.commit()
    return numbers


@clean
def flush_once(session: Session) -> list[int]:
    """All identities from one flush."""
    added = [Audit(message=message) for message in MESSAGES]
    session.add_all(added)
    session.flush()
    numbers = [audit.id for audit in added]
    session.commit()
    return numbers


@write_loop("row")
def update_by_row(engine: Engine) -> int:
    """Core: an UPDATE for each row."""
    with engine.begin() as connection:
        for number in range(1, 13):
            change = update(Product).where(Product.id == number).values(stock=number)
            connection.execute(change)  # row
        return connection.execute(select(func.sum(Product.stock))).scalar_one()


@clean
def update_with_expression(engine: Engine) -> int:
    """The same change as one statement."""
    with engine.begin() as connection:
        connection.execute(update(Product).values(stock=Product.id))
        return connection.execute(select(func.sum(Product.stock))).scalar_one()


@write_loop("row")
def text_by_row(engine: Engine) -> int:
    """Text with a parameter."""
    statement = text("UPDATE product SET stock = stock - :taken WHERE sku = :sku")
    with engine.begin() as connection:
        for number in range(1, 13):
            connection.execute(statement, {"taken": 1, "sku": f"sku-{number}"})  # row
        return connection.execute(select(func.sum(Product.stock))).scalar_one()


@clean
def text_many(engine: Engine) -> int:
    """The same text with a list of parameters."""
    statement = text("UPDATE product SET stock = stock - :taken WHERE sku = :sku")
    changes = [{"taken": 1, "sku": f"sku-{number}"} for number in range(1, 13)]
    with engine.begin() as connection:
        connection.execute(statement, changes)
        return connection.execute(select(func.sum(Product.stock))).scalar_one()


@write_loop("row")
def delete_by_row(session: Session) -> int:
    """A DELETE for each identity."""
    stale = session.scalars(select(Line.id).where(Line.cents == 100)).all()
    for number in stale:
        session.execute(delete(Line).where(Line.id == number))  # row
    session.commit()
    return len(stale)


@clean
def delete_in(session: Session) -> int:
    """One DELETE ... IN."""
    stale = session.scalars(select(Line.id).where(Line.cents == 100)).all()
    session.execute(delete(Line).where(Line.id.in_(stale)))
    session.commit()
    return len(stale)


@clean
def few_rows(session: Session) -> int:
    """Nine rows, one by one: below what counts as a loop."""
    for message in MESSAGES[:9]:
        session.execute(insert(Audit).values(message=message))
    session.commit()
    return audits(session)


def chunks(values: list[str], size: int) -> Iterable[list[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))


@clean
def insert_in_chunks(session: Session) -> int:
    """Twelve times a list: many, but not row by row."""
    for chunk in chunks(MESSAGES * 10, 10):
        session.execute(insert(Audit), [{"message": message} for message in chunk])
    session.commit()
    return audits(session)


@clean
def commit_in_chunks(session: Session) -> int:
    """Twelve flushes of ten objects each."""
    for chunk in chunks(MESSAGES * 10, 10):
        session.add_all(Audit(message=message) for message in chunk)
        session.commit()
    return audits(session)


class Log:
    """Writes each message at once, whoever asks."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def write(self, message: str) -> None:
        self.session.execute(insert(Audit).values(message=message))


@write_loop("row")
def log_in_loop(session: Session) -> int:
    """Through a helper: the loop is in the caller."""
    log = Log(session)
    for order in session.scalars(select(Order).order_by(Order.id)).all():
        log.write(f"seen {order.number}")  # row
    session.commit()
    return audits(session)


@clean
def different_writes(session: Session) -> int:
    """A loop over tables, each written once."""
    session.execute(delete(Line))
    session.execute(delete(Review))
    for model, column in ((Customer, "city"), (Order, "status"), (Product, "name")):
        session.execute(update(model).values({column: "changed"}))
    session.commit()
    return session.scalars(select(func.count(Customer.id)).where(Customer.city == "changed")).one()


@clean
def change_all_in_one_flush(session: Session) -> int:
    """Twelve rows changed by expressions: twelve UPDATEs, but one flush."""
    products = session.scalars(select(Product).order_by(Product.id)).all()
    for product in products:
        product.stock = Product.stock + product.id
    session.commit()
    return session.scalars(select(func.sum(Product.stock))).one()


@clean
def insert_by_row_on_purpose(session: Session) -> int:
    """Row by row, with a reason on the line."""
    for message in MESSAGES:
        row = insert(Audit).values(message=message)
        session.execute(row)  # txprof: allow[write-loop] a trigger must see them in order
    session.commit()
    return audits(session)


@write_loop("row")
def link_by_row(session: Session) -> int:
    """A many-to-many table, filled by hand."""
    before = session.scalars(select(func.count()).select_from(product_tag)).one()
    session.execute(delete(product_tag))
    for number in range(1, 13):
        session.execute(insert(product_tag).values(product_id=number, tag_id=1))  # row
    session.commit()
    return before
