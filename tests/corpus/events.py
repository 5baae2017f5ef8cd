"""Session and mapper events, cascades and domain events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import delete, event, func, select
from sqlalchemy.orm import Session, selectinload

from corpus.models import Audit, Customer, Line, Order, Payment, Product
from corpus.program import burst, clean, write_loop


@contextmanager
def listening(target: Any, name: str, handler: Callable[..., None]) -> Iterator[None]:
    event.listen(target, name, handler)
    yield
    event.remove(target, name, handler)


def new_lines(session: Session) -> list[Line]:
    return sorted((row for row in session.new if isinstance(row, Line)), key=lambda row: row.cents)


def order_of(session: Session) -> int:
    """Adds an order of six products; says how many lines there are then."""
    for number in range(1, 7):
        session.add(Line(order_id=1, product_id=number, quantity=1, cents=number))
    session.commit()
    return session.scalars(select(func.count(Line.id))).one()


def check_each(session: Session, *_: Any) -> None:
    for line in new_lines(session):
        stock = session.scalars(  # check_each
            select(Product.stock).where(Product.id == line.product_id)
        ).one()
        assert stock >= line.quantity


def check_all(session: Session, *_: Any) -> None:
    lines = {line.product_id: line for line in new_lines(session)}
    query = select(Product.id, Product.stock).where(Product.id.in_(lines))
    for product_id, stock in session.execute(query):
        assert stock >= lines[product_id].quantity


@burst("check_each")
def validate_on_flush(session: Session) -> int:
    """A before_flush handler that asks for each new row."""
    with listening(session, "before_flush", check_each):
        return order_of(session)


@clean
def validate_on_flush_at_once(session: Session) -> int:
    """The handler asks once for all new rows."""
    with listening(session, "before_flush", check_all):
        return order_of(session)


@clean
def audit_on_flush(session: Session) -> int:
    """A handler that adds an audit row for each change: all in the same flush."""

    def audit(session: Session, *_: Any) -> None:
        for row in list(session.dirty):
            if isinstance(row, Product):
                session.add(Audit(message=f"product {row.id} changed"))

    with listening(session, "before_flush", audit):
        for product in session.scalars(select(Product)).all():
            product.stock += 1
        session.commit()
    return session.scalars(select(func.count(Audit.id))).one()


@burst("notify")
def notify_after_flush(session: Session) -> list[str]:
    """The handler follows a lazy relationship of what was changed."""
    told: list[str] = []

    def notify(session: Session, *_: Any) -> None:
        for row in session.dirty:
            if isinstance(row, Order):
                told.append(row.customer.email)  # notify

    with listening(session, "after_flush", notify):
        for order in session.scalars(select(Order).where(Order.status == "open")).all():
            order.status = "sent"
        session.commit()
    return sorted(told)


class Bus:
    """Domain events to those who subscribed."""

    def __init__(self) -> None:
        self.handlers: list[Callable[[int], None]] = []

    def publish(self, order_id: int) -> None:
        for handler in self.handlers:
            handler(order_id)


@burst("publish")
def domain_events(session: Session) -> int:
    """Each event's handler asks the database; the service publishes in a loop."""
    bus = Bus()
    owed: list[int] = []

    def on_paid(order_id: int) -> None:
        query = select(func.sum(Payment.cents)).where(Payment.order_id == order_id)
        owed.append(session.scalars(query).one())

    bus.handlers.append(on_paid)
    for number in range(1, 7):
        bus.publish(number)  # publish
    return sum(owed)


@clean
def domain_event_to_many(session: Session) -> int:
    """One event, several handlers, each with a question of its own."""
    bus = Bus()
    seen: list[int] = []

    def counts(model: Any) -> Callable[[int], None]:
        return lambda _: seen.append(session.scalars(select(func.count(model.id))).one())

    bus.handlers += [counts(model) for model in (Order, Line, Customer, Product, Payment, Audit)]
    bus.publish(1)
    return sum(seen)


@burst("delete", "flush")
def delete_with_cascade(session: Session) -> int:
    """delete() loads what it cascades to, the flush what it must part from, for each order."""
    session.execute(delete(Payment))
    orders = session.scalars(select(Order).where(Order.id <= 3).order_by(Order.id)).all()
    with session.no_autoflush:
        for order in orders:
            session.delete(order)  # delete
    session.commit()  # flush
    return session.scalars(select(func.count(Line.id))).one()


@clean
def delete_with_cascade_loaded(session: Session) -> int:
    """What cascades was loaded before."""
    query = select(Order).options(selectinload(Order.lines), selectinload(Order.payments))
    for order in session.scalars(query.where(Order.id <= 3)).all():
        for payment in order.payments:
            session.delete(payment)
        session.delete(order)
    session.commit()
    return session.scalars(select(func.count(Line.id))).one()


@write_loop("row")
def audit_each(session: Session) -> int:
    """The handler of a loop flushes an audit row each time."""

    def write(message: str) -> None:
        session.add(Audit(message=message))
        session.flush()

    for number in range(1, 13):
        write(f"step {number}")  # row
    session.commit()
    return session.scalars(select(func.count(Audit.id))).one()


@burst("set")
def check_on_set(session: Session) -> list[int]:
    """An attribute event that asks the database at each assignment."""

    def reserved(product: Product, value: int, *_: Any) -> None:
        query = select(func.sum(Line.quantity)).where(Line.product_id == product.id)
        assert session.scalars(query).one() < value

    products = session.scalars(select(Product).order_by(Product.id).limit(6)).all()
    with listening(Product.stock, "set", reserved):
        for product in products:
            product.stock = product.id + 20  # set
    return [product.stock for product in products]
