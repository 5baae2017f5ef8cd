"""Imports: rows from a file meet rows of the database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from corpus.models import Customer, Line, Order, Product, Tag
from corpus.program import burst, clean

PRICES = "sku,name,cents\n" + "".join(f"sku-{n},renamed {n},{n * 7}\n" for n in range(7, 19))


def rows(file: str = PRICES) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(io.StringIO(file))


def total(session: Session) -> int:
    """What all products cost together: what the import came to."""
    return session.scalars(select(func.sum(Product.cents))).one()


def find_product(session: Session, sku: str) -> Product | None:
    return session.scalars(select(Product).where(Product.sku == sku)).first()


@burst("ask")
def find_or_create(session: Session) -> int:
    """A query for each row of the file."""
    for row in rows():
        product = find_product(session, row["sku"])  # ask
        if product is None:
            product = Product(sku=row["sku"], name=row["name"])
            session.add(product)
        product.cents = int(row["cents"])
    session.commit()
    return total(session)


@clean
def find_all_then_create(session: Session) -> int:
    """What is there is read once, into a dict by its key."""
    wanted = {row["sku"]: row for row in rows()}
    known = {
        product.sku: product
        for product in session.scalars(select(Product).where(Product.sku.in_(wanted)))
    }
    for sku, row in wanted.items():
        product = known.get(sku)
        if product is None:
            product = Product(sku=sku, name=row["name"])
            session.add(product)
        product.cents = int(row["cents"])
    session.commit()
    return total(session)


@burst("ask")
def merge_loop(session: Session) -> int:
    """merge() reads each row first."""
    for number in range(1, 10):
        session.merge(Product(id=number, cents=number))  # ask
    session.commit()
    return total(session)


@clean
def merge_after_load(session: Session) -> int:
    """What merge() looks for is in the session already."""
    products = session.scalars(select(Product)).all()
    with session.no_autoflush:
        for number in range(1, len(products) + 1):
            session.merge(Product(id=number, cents=number))
    session.commit()
    return total(session)


@clean
def update_by_key(session: Session) -> int:
    """A bulk UPDATE by primary key: one executemany."""
    changes = [{"id": number, "cents": number} for number in range(1, 13)]
    session.execute(update(Product), changes)
    session.commit()
    return total(session)


@burst("ask")
def get_and_change(session: Session) -> int:
    """A get for each row; each flushes the change of the one before."""
    for number in range(1, 10):
        product = session.get_one(Product, number)  # ask
        product.cents = number
    session.commit()
    return total(session)


@burst("touch")
def append_to_lazy(session: Session) -> int:
    """append() loads the collection first."""
    orders = session.scalars(select(Order).where(Order.status == "open")).all()
    for order in orders:
        order.lines.append(Line(product_id=1, cents=5))  # touch
    session.commit()
    return session.scalars(select(func.count(Line.id))).one()


@clean
def set_the_parent(session: Session) -> int:
    """From the child's side nothing is loaded."""
    for order in session.scalars(select(Order).order_by(Order.id)).all():
        session.add(Line(order=order, product_id=1, cents=5))
    session.commit()
    return session.scalars(select(func.count(Line.id))).one()


@burst("ask")
def tag_names(session: Session) -> list[str]:
    """Tags are looked up by name for each word, even those seen before."""
    words = ["tag 1", "tag 2", "tag 1", "tag 3", "tag 4", "tag 2", "new"]
    used = []
    for word in words:
        tag = session.scalars(select(Tag).where(Tag.name == word)).one_or_none()  # ask
        if tag is None:
            tag = Tag(name=word)
            session.add(tag)
        used.append(tag.name)
    session.commit()
    return used


@clean
def tag_names_at_once(session: Session) -> list[str]:
    """All words in one query."""
    words = ["tag 1", "tag 2", "tag 1", "tag 3", "tag 4", "tag 2", "new"]
    tags = {tag.name: tag for tag in session.scalars(select(Tag).where(Tag.name.in_(words)))}
    for word in words:
        if word not in tags:
            tags[word] = Tag(name=word)
            session.add(tags[word])
    used = [tags[word].name for word in words]
    session.commit()
    return used


class Loader:
    """An import in steps, as they grow over the years."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.errors: list[str] = []

    def load(self, emails: list[str]) -> list[str]:
        for email in emails:
            self.step(email)  # step
        self.session.commit()
        return self.errors

    def step(self, email: str) -> None:
        if self.known(email):
            self.errors.append(f"{email}: known")
        else:
            self.session.add(Customer(email=email, name=email.partition("@")[0]))

    def known(self, email: str) -> bool:
        query = select(Customer.id).where(Customer.email == email)
        return self.session.scalars(query).first() is not None


@burst("step")
def validate_each(session: Session) -> list[str]:
    """Uniqueness asked of the database, a row at a time."""
    return Loader(session).load([f"c{number}@example.com" for number in range(5, 12)])


class PreparedLoader(Loader):
    def load(self, emails: list[str]) -> list[str]:
        query = select(Customer.email).where(Customer.email.in_(emails))
        self.there = set(self.session.scalars(query))
        return super().load(emails)

    def known(self, email: str) -> bool:
        return email in self.there


@clean
def validate_at_once(session: Session) -> list[str]:
    """The same steps; what is known was asked for first."""
    return PreparedLoader(session).load([f"c{number}@example.com" for number in range(5, 12)])


@burst("touch")
def append_tag(session: Session) -> int:
    """Many-to-many by append(): the collection of each product is read first."""
    tag = Tag(name="sale")
    for product in session.scalars(select(Product).where(Product.id <= 3)).all():
        product.tags.append(tag)  # touch
    session.commit()
    return len(tag.products)
