"""Repositories and services: the line that loops is rarely the one that queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from corpus.models import Base, Category, Coupon, Customer, Line, Option, Order, Product, Tag
from corpus.program import burst, clean

Row = TypeVar("Row", bound=Base)


class Repository(Generic[Row]):
    """What every repository of the application goes through."""

    def __init__(self, session: Session, model: type[Row]) -> None:
        self.session = session
        self.model = model

    def get(self, key: Any) -> Row:
        return self.session.get_one(self.model, key)

    def get_many(self, keys: Iterable[Any]) -> Sequence[Row]:
        column = self.model.__mapper__.primary_key[0]
        return self.session.scalars(select(self.model).where(column.in_(keys))).all()

    def find(self, **values: Any) -> Row | None:
        return self.session.scalars(select(self.model).filter_by(**values)).first()

    def exists(self, **values: Any) -> bool:
        return self.find(**values) is not None


class Pricing:
    def __init__(self, session: Session) -> None:
        self.products = Repository(session, Product)

    def price(self, product_id: int, quantity: int) -> int:
        return self.products.get(product_id).cents * quantity


CART = {1: 2, 2: 1, 4: 3, 5: 1, 7: 2, 9: 1}


@burst("ask")
def get_in_loop(session: Session) -> list[str]:
    """The classic: a get per id."""
    products = Repository(session, Product)
    names = []
    for product_id in CART:
        product = products.get(product_id)  # ask
        names.append(product.name)
    return names


@clean
def get_many(session: Session) -> list[str]:
    """One IN for all of them."""
    return sorted(product.name for product in Repository(session, Product).get_many(CART))


@burst("ask")
def find_in_comprehension(session: Session) -> list[int]:
    """By another key, in a comprehension."""
    products = Repository(session, Product)
    found = [products.find(sku=f"sku-{number}") for number in range(1, 8)]  # ask
    return [product.cents for product in found if product]


@burst("ask")
def cart_total(session: Session) -> int:
    """Three calls deep; the loop is in the caller of the service."""
    pricing = Pricing(session)
    total = 0
    for product_id, quantity in CART.items():
        total += pricing.price(product_id, quantity)  # ask
    return total


@clean
def different_rows(session: Session) -> list[str]:
    """Six gets through one generic line: six shapes."""
    return [
        Repository(session, Product).get(1).name,
        Repository(session, Customer).get(1).name,
        Repository(session, Order).get(1).number,
        Repository(session, Category).get(1).name,
        Repository(session, Coupon).get(1).code,
        Repository(session, Tag).get(1).name,
        Repository(session, Option).get("tax").value,
    ]


@clean
def one_by_one_on_purpose(session: Session) -> list[str]:
    """One shape through one generic line, asked for on six lines of the caller: no loop."""
    options = Repository(session, Product)
    hero = options.get(1)
    teaser = options.get(2)
    left = options.get(3)
    right = options.get(4)
    footer = options.get(5)
    banner = options.get(6)
    return [each.sku for each in (hero, teaser, left, right, footer, banner)]


@clean
def gets_after_a_load(session: Session) -> list[str]:
    """The identity map answers each get."""
    products = Repository(session, Product)
    loaded = products.get_many(range(1, 11))
    return [products.get(number).name for number in range(1, len(loaded) + 1)]


@clean
def four_gets(session: Session) -> list[str]:
    """Below what counts as a burst of a SELECT."""
    products = Repository(session, Product)
    return [products.get(number).name for number in (3, 1, 4, 12)]


@burst("ask")
def session_per_item(engine: Engine) -> list[str]:
    """One session per item does not make it fewer queries."""
    names = []
    for product_id in CART:
        with Session(engine) as session:
            product = session.get_one(Product, product_id)  # ask
            names.append(product.name)
    return names


@burst("ask")
def existence_checks(session: Session) -> list[str]:
    """Which of these addresses do we know?"""
    customers = Repository(session, Customer)
    wanted = [f"c{number}@example.com" for number in range(4, 14)]
    return [email for email in wanted if customers.exists(email=email)]  # ask


@clean
def existence_check_at_once(session: Session) -> list[str]:
    """The same question in one query."""
    wanted = [f"c{number}@example.com" for number in range(4, 14)]
    known = set(session.scalars(select(Customer.email).where(Customer.email.in_(wanted))))
    return [email for email in wanted if email in known]


@burst("ask")
def core_select_in_loop(engine: Engine) -> list[int]:
    """Core, with a connection."""
    stock = []
    with engine.connect() as connection:
        for product_id in CART:
            query = select(Product.stock).where(Product.id == product_id)
            stock.append(connection.execute(query).scalar_one())  # ask
    return stock


@burst("ask")
def literals_in_text(engine: Engine) -> list[str]:
    """Literals pasted into the text: as many texts, one shape."""
    names = []
    with engine.connect() as connection:
        for product_id in CART:
            row = connection.execute(  # ask
                text(f"SELECT name FROM product WHERE id = {product_id}")
            ).one()
            names.append(row.name)
    return names


@clean
def text_with_in(engine: Engine) -> list[str]:
    """One text for all of them."""
    numbers = ", ".join(str(product_id) for product_id in CART)
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT name FROM product WHERE id IN ({numbers})"))
        return sorted(row.name for row in rows)


@clean
def table_sizes(engine: Engine) -> dict[str, int]:
    """A loop over tables: each asks another one."""
    sizes = {}
    with engine.connect() as connection:
        for table in (Customer, Order, Line, Product, Tag, Category):
            name = table.__tablename__
            query = text(f"SELECT count(*) FROM {name}")
            sizes[name] = connection.execute(query).scalar_one()
    return sizes


class UnitOfWork:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __enter__(self) -> UnitOfWork:
        self.session = Session(self.engine)
        self.customers = Repository(self.session, Customer)
        return self

    def __exit__(self, *error: object) -> None:
        self.session.close()


def greet(engine: Engine, customer_id: int) -> str:
    with UnitOfWork(engine) as unit:
        return f"Dear {unit.customers.get(customer_id).name}"


@burst("ask")
def unit_of_work_per_item(engine: Engine) -> list[str]:
    """A unit of work per item, in a helper."""
    letters = []
    for customer_id in range(1, 8):
        letters.append(greet(engine, customer_id))  # ask
    return letters


@clean
def unit_of_work_for_all(engine: Engine) -> list[str]:
    """One unit of work, one query."""
    with UnitOfWork(engine) as unit:
        customers = unit.customers.get_many(range(1, 8))
        return sorted(f"Dear {customer.name}" for customer in customers)


@burst("ask")
def legacy_query(session: Session) -> list[str]:
    """The Query of old, in a loop."""
    names = []
    for product_id in CART:
        product = session.query(Product).filter_by(id=product_id).one()  # ask
        names.append(product.name)
    return names


@burst("ask")
def commented_text(engine: Engine) -> list[str]:
    """A comment, the case and the white space differ; the question does not."""
    names = []
    with engine.connect() as connection:
        for product_id in CART:
            select_ = ("SELECT", "select ")[product_id % 2]
            statement = text(f"/* cart {product_id} */ {select_} name FROM product WHERE id = :id")
            names.append(connection.execute(statement, {"id": product_id}).scalar_one())  # ask
    return names


@clean
def yearly_tables(engine: Engine) -> list[int]:
    """A table for each year: as many shapes as years."""
    counts = []
    with engine.begin() as connection:
        for year in range(2020, 2026):
            connection.execute(text(f"CREATE TABLE archive_{year} (id INTEGER)"))
        for year in range(2020, 2026):
            query = text(f"SELECT count(*) + {year} FROM archive_{year}")
            counts.append(connection.execute(query).scalar_one())
        for year in range(2020, 2026):
            connection.execute(text(f"DROP TABLE archive_{year}"))
    return counts


def names_of(session: Session, keys: Iterable[int]) -> list[str]:
    products = Repository(session, Product)
    return [products.get(key).name for key in keys]


@clean
def two_callers(session: Session) -> list[str]:
    """The same helper from two lines, three gets each: six of one line, three of a call path."""
    offers = names_of(session, (1, 2, 3))
    news = names_of(session, (10, 11, 12))
    return offers + news
