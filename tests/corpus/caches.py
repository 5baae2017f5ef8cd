"""Caches that help, caches that miss, and queries that nobody cached."""

from __future__ import annotations

import functools
from functools import cached_property

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from corpus.models import Category, Customer, Option, Order, Product
from corpus.program import burst, clean


@clean
def identity_map(session: Session) -> list[str]:
    """Twelve orders' customers, all loaded before: the identity map answers."""
    customers = session.scalars(select(Customer)).all()
    orders = session.scalars(select(Order).order_by(Order.id)).all()
    names = [order.customer.name for order in orders]
    return [*names, str(len(customers))]


@clean
def get_again(session: Session) -> str:
    """get() of one row, twenty times: one query."""
    customer = session.get_one(Customer, 1)
    for _ in range(20):
        customer = session.get_one(Customer, customer.id)
    return customer.name


class Options:
    """Reads an option from the database each time it is asked."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def value(self, name: str) -> str:
        return self.session.scalars(select(Option.value).where(Option.name == name)).one()


class CachedOptions(Options):
    """Reads each option once."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.known: dict[str, str] = {}

    def value(self, name: str) -> str:
        if name not in self.known:
            self.known[name] = super().value(name)
        return self.known[name]


def gross(options: Options, cents: int) -> int:
    return cents * (100 + int(options.value("tax"))) // 100


@burst("ask")
def tax_each_time(session: Session) -> list[int]:
    """The same option for each product: an identical query."""
    options = Options(session)
    prices = []
    for cents in session.scalars(select(Product.cents).order_by(Product.id)).all():
        prices.append(gross(options, cents))  # ask
    return prices


@clean
def tax_cached(session: Session) -> list[int]:
    """The same code with a cache below it."""
    options = CachedOptions(session)
    prices = session.scalars(select(Product.cents).order_by(Product.id)).all()
    return [gross(options, cents) for cents in prices]


class Request:
    """Who asks? Recomputed at each question."""

    def __init__(self, session: Session, email: str) -> None:
        self.session = session
        self.email = email

    @property
    def user_id(self) -> int:
        query = select(Customer.id).where(Customer.email == self.email)
        return self.session.scalars(query).one()

    def may_see(self, order: Order) -> bool:
        return order.customer_id == self.user_id


class RequestOnce(Request):
    @cached_property
    def user_id(self) -> int:  # type: ignore[override]
        return super().user_id


def orders_of(session: Session) -> list[Order]:
    return list(session.scalars(select(Order).order_by(Order.id)))


@burst("ask")
def permission_each_time(session: Session) -> list[str]:
    """The identity is looked up for each order that is checked."""
    request = Request(session, "c2@example.com")
    visible = []
    for order in orders_of(session):
        if request.may_see(order):  # ask
            visible.append(order.number)
    return visible


@clean
def permission_once(session: Session) -> list[str]:
    """A cached property: once a request."""
    request = RequestOnce(session, "c2@example.com")
    return [order.number for order in orders_of(session) if request.may_see(order)]


@burst("ask")
def cold_cache(engine: Engine) -> list[str]:
    """Eight keys, eight misses: a cache in front of a loop is still a loop."""

    @functools.cache
    def name(customer_id: int) -> str:
        with Session(engine) as session:
            return session.get_one(Customer, customer_id).name

    names = []
    for customer_id in [1, 2, 3, 4, 5, 6, 7, 8] * 2:
        names.append(name(customer_id))  # ask
    return names


@clean
def cache_of_three(engine: Engine) -> list[str]:
    """Three keys, asked for forty times."""

    @functools.cache
    def name(customer_id: int) -> str:
        with Session(engine) as session:
            return session.get_one(Customer, customer_id).name

    return [name(customer_id) for customer_id in [1, 2, 3, 2] * 10]


@clean
def warmed_cache(session: Session) -> list[str]:
    """Filled by one query before the loop."""
    cache = dict(session.execute(select(Category.id, Category.name)).all())
    products = session.execute(select(Product.name, Product.category_id).order_by(Product.id))
    return [f"{name} in {cache[category_id]}" for name, category_id in products]


class Card:
    """A cached property on each of many objects is computed for each of them."""

    def __init__(self, session: Session, customer: Customer) -> None:
        self.session = session
        self.customer = customer

    @cached_property
    def orders(self) -> int:
        query = select(Order.id).where(Order.customer_id == self.customer.id)
        return len(self.session.scalars(query).all())


@burst("ask")
def cached_property_each(session: Session) -> list[int]:
    """Cached, but eight times."""
    cards = [Card(session, customer) for customer in session.scalars(select(Customer)).all()]
    counts = []
    for card in cards:
        if card.orders:  # ask
            counts.append(card.orders)
    return sorted(counts)


@burst("touch")
def expire_in_loop(session: Session) -> int:
    """A cautious expire_all() makes each row be read again."""
    categories = session.scalars(select(Category)).all()
    total = 0
    for category in categories:
        session.expire_all()
        total += len(category.name)  # touch
    return total


@clean
def expunged(session: Session) -> list[str]:
    """Detached rows are a cache too: nothing is read any more."""
    categories = session.scalars(select(Category).order_by(Category.id)).all()
    session.expunge_all()
    session.commit()
    return [category.name for category in categories for _ in range(3)]


@clean
def few_distinct_parents(session: Session) -> list[str]:
    """All lines of one product: one parent, however many lines."""
    product = session.get_one(Product, 3)
    return [f"{line.id} of {line.product.name}" for line in product.lines]


@burst("ask")
def cache_too_small(engine: Engine) -> list[str]:
    """Two keys in turn, room for one."""

    @functools.lru_cache(maxsize=1)
    def name(customer_id: int) -> str:
        with Session(engine) as session:
            return session.get_one(Customer, customer_id).name

    names = []
    for customer_id in [1, 2] * 5:
        names.append(name(customer_id))  # ask
    return names


@burst("ask")
def session_that_forgets(session: Session) -> list[str]:
    """The identity map is weak: nobody keeps the row, so each get() asks again."""
    names = []
    for customer_id in [1, 2, 3] * 3:
        names.append(session.get_one(Customer, customer_id).name)  # ask
    return names
