"""The program that `programs` runs under each profiler: a shop writes its invoices.

`python batch.py ORDERS FILE`. Orders and their lines come by the ORM, are priced in plain Python,
one line at a time, and become invoices by Core. To FILE go the seconds of processor time that the
work took. Nothing in here knows of a profiler.
"""

# Annotations are not postponed: cProfile runs a script under a name that SQLAlchemy cannot look
# them up by.
import sys
import time
from pathlib import Path

from sqlalchemy import Engine, ForeignKey, create_engine, func, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import StaticPool

LINES_AN_ORDER = 20
ORDERS_A_COMMIT = 25


class Base(DeclarativeBase):
    pass


class Line(Base):
    __tablename__ = "order_line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("shop_order.id"), index=True)
    quantity: Mapped[int]
    cents: Mapped[int]


class Order(Base):
    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    country: Mapped[str]
    lines: Mapped[list[Line]] = relationship()


class Invoice(Base):
    __tablename__ = "invoice"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    cents: Mapped[int]
    reference: Mapped[str]


INVOICES = Base.metadata.tables["invoice"]


def filled(orders: int) -> Engine:
    """A database in memory with so many orders."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    numbers = range(1, orders + 1)
    with engine.begin() as connection:
        rows = [{"id": each, "country": ("DE", "FR", "CH")[each % 3]} for each in numbers]
        connection.execute(insert(Order), rows)
        connection.execute(
            insert(Line),
            [
                {"order_id": each, "quantity": 1 + item % 12, "cents": 99 + 7 * item}
                for each in numbers
                for item in range(LINES_AN_ORDER)
            ],
        )
    return engine


def write_invoices(engine: Engine, orders: int) -> int:
    """What is worked for: an invoice for each order. Their sum in cents."""
    with Session(engine) as session:
        for number in range(1, orders + 1):
            write_invoice(session, number)
            if number % ORDERS_A_COMMIT == 0:
                session.commit()
        session.commit()
        return session.execute(select(func.sum(Invoice.cents))).scalar_one()


def write_invoice(session: Session, number: int) -> None:
    order = session.scalars(select(Order).where(Order.id == number)).one()
    total = 0
    for line in order.lines:
        total += price(line.quantity, line.cents, order.country)
    values = {"order_id": number, "cents": total, "reference": reference(number, total)}
    connection = session.connection()
    connection.execute(insert(INVOICES), values)
    written = select(INVOICES.c.cents).where(INVOICES.c.order_id == number)
    if connection.execute(written).scalar_one() != total:
        raise RuntimeError(f"the invoice of order {number} is wrong")


def price(quantity: int, cents: int, country: str) -> int:
    """Called for each line of each order."""
    net = quantity * cents
    if quantity >= 10:
        net -= net // 20
    rate = 81 if country == "CH" else 200
    return net + net * rate // 1000


def reference(number: int, total: int) -> str:
    """Lines of plain Python: the digits, and what they come to modulo 97."""
    digits = f"{number:08d}{total:010d}"
    check = 0
    for digit in digits:
        check *= 10
        check += int(digit)
        check %= 97
    return f"RF{98 - check:02d}{digits}"


def main() -> None:
    orders, file = int(sys.argv[1]), Path(sys.argv[2])
    engine = filled(orders)
    started = time.process_time()
    write_invoices(engine, orders)
    file.write_text(str(time.process_time() - started), encoding="utf-8")


if __name__ == "__main__":
    main()
