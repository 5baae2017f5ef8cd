"""Pages, streams and chunks: the same statement again, on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, Select, func, insert, select, text, tuple_
from sqlalchemy.orm import Session, selectinload

from corpus.models import Customer, Line, Order, Product
from corpus.program import burst, clean


def pages(session: Session, query: Select[Any], size: int) -> Iterator[Sequence[Any]]:
    """LIMIT and OFFSET until a page is empty."""
    offset = 0
    while page := session.scalars(query.limit(size).offset(offset)).all():
        yield page
        offset += size


@clean
def offset_pages(session: Session) -> list[str]:
    """Six pages of two."""
    query = select(Order).order_by(Order.id)
    return [order.number for page in pages(session, query, 2) for order in page]


@clean
def keyset_pages(session: Session) -> list[str]:
    """Each page starts after the last key of the page before."""
    numbers: list[str] = []
    last = 0
    while True:
        query = select(Order).where(Order.id > last).order_by(Order.id).limit(2)
        page = session.scalars(query).all()
        if not page:
            return numbers
        numbers += [order.number for order in page]
        last = page[-1].id


@clean
def keyset_pages_by_two_columns(session: Session) -> list[str]:
    """A keyset of two columns, newest day first."""
    numbers: list[str] = []
    key = (99, 0)
    while True:
        query = (
            select(Order.day, Order.id, Order.number)
            .where(tuple_(Order.day, Order.id) < key)
            .order_by(Order.day.desc(), Order.id.desc())
            .limit(2)
        )
        page = session.execute(query).all()
        if not page:
            return numbers
        numbers += [number for _, _, number in page]
        key = (page[-1].day, page[-1].id)


class Paginator:
    def __init__(self, session: Session, size: int) -> None:
        self.session = session
        self.size = size

    def count(self) -> int:
        found = self.session.scalars(select(func.count(Product.id))).one()
        return -(-found // self.size)

    def page(self, number: int) -> list[str]:
        query = select(Product.sku).order_by(Product.id)
        start = (number - 1) * self.size
        return list(self.session.scalars(query.offset(start).limit(self.size)))


@clean
def numbered_pages(session: Session) -> list[list[str]]:
    """A paginator with a count, from the first page to the last."""
    paginator = Paginator(session, 2)
    return [paginator.page(number) for number in range(1, paginator.count() + 1)]


@clean
def text_pages(engine: Engine) -> list[str]:
    """The same by hand, with literals."""
    skus: list[str] = []
    with engine.connect() as connection:
        for offset in range(0, 12, 2):
            statement = f"SELECT sku FROM product ORDER BY id LIMIT 2 OFFSET {offset}"
            skus += connection.execute(text(statement)).scalars()
    return skus


@clean
def pages_with_lines(session: Session) -> int:
    """An eager loader runs once for each page."""
    query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
    return sum(
        line.quantity for page in pages(session, query, 2) for order in page for line in order.lines
    )


@burst("touch")
def pages_with_lazy_lines(session: Session) -> int:
    """Pages are fine; the collection of each row is not."""
    pieces = 0
    for page in pages(session, select(Order).order_by(Order.id), 4):
        for order in page:
            pieces += sum(line.quantity for line in order.lines)  # touch
    return pieces


@clean
def stream(session: Session) -> int:
    """yield_per over a server-side cursor, in partitions."""
    query = select(Line).order_by(Line.id).execution_options(yield_per=5)
    return sum(len(part) for part in session.scalars(query).partitions())


@burst("touch")
def stream_of_lazy(session: Session) -> list[str]:
    """A stream does not make lazy relationships cheap."""
    names = []
    query = select(Line).where(Line.id <= 12).order_by(Line.id).execution_options(yield_per=4)
    for line in session.scalars(query):
        names.append(line.product.name)  # touch
    return names


@clean
def chunked_in(session: Session) -> int:
    """Six IN lists, the last one shorter."""
    wanted = list(range(1, 12))
    found = 0
    for start in range(0, len(wanted), 2):
        query = select(Product).where(Product.id.in_(wanted[start : start + 2]))
        found += len(session.scalars(query).all())
    return found


@clean
def chunked_in_of_many(session: Session) -> int:
    """Three thousand addresses, five hundred at a time."""
    emails = [f"many{number}@example.com" for number in range(3_000)]
    session.execute(insert(Customer), [{"email": email, "name": "m"} for email in emails])
    found = 0
    for start in range(0, len(emails), 500):
        part = emails[start : start + 500]
        found += len(session.scalars(select(Customer.id).where(Customer.email.in_(part))).all())
    return found


@clean
def id_ranges(session: Session, width: int = 6) -> int:
    """A backfill walks through ranges of the primary key."""
    last = session.scalars(select(func.max(Line.id))).one()
    seen = 0
    for start in range(1, last + 1, width):
        query = select(Line.id).where(Line.id >= start, Line.id < start + width)
        seen += len(session.scalars(query).all())
    return seen


@burst("ask")
def day_by_day(session: Session) -> dict[int, int]:
    """Not pages: a query for each day, where GROUP BY would do."""
    days = {}
    for day in range(7):
        query = select(func.count(Order.id)).where(Order.day == day)
        days[day] = session.scalars(query).one()  # ask
    return days


@clean
def all_days(session: Session) -> dict[int, int]:
    """GROUP BY."""
    query = select(Order.day, func.count(Order.id)).group_by(Order.day)
    return dict(session.execute(query).all())


@burst("ask")
def page_of_previews(session: Session) -> list[str]:
    """LIMIT 1 for each row is not a page."""
    previews = []
    for order in session.scalars(select(Order).order_by(Order.id).limit(6)).all():
        query = select(Line.cents).where(Line.order_id == order.id).order_by(Line.id).limit(1)
        cents = session.scalars(query).first()  # ask
        previews.append(f"{order.number}: {cents}")
    return previews


@burst("count")
def count_for_each_page(session: Session) -> list[str]:
    """The pages are fine, but each turn counts all rows again."""
    paginator = Paginator(session, 2)
    skus: list[str] = []
    number = 1
    while number <= paginator.count():  # count
        skus += paginator.page(number)
        number += 1
    return skus
