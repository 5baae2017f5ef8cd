"""Reports: counts, sums and latest rows for each parent."""

from __future__ import annotations

from sqlalchemy import Engine, exists, func, select
from sqlalchemy.orm import Session, selectinload

from corpus.models import Category, Customer, Line, Order, Product, Review, Visit
from corpus.program import burst, clean

Counts = dict[str, int]


def customers(session: Session) -> list[Customer]:
    return list(session.scalars(select(Customer).order_by(Customer.id)))


@burst("ask")
def count_per_parent(session: Session) -> Counts:
    """A COUNT for each customer."""
    counts = {}
    for customer in customers(session):
        query = select(func.count(Order.id)).where(Order.customer_id == customer.id)
        counts[customer.name] = session.scalars(query).one()  # ask
    return counts


@clean
def count_grouped(session: Session) -> Counts:
    """GROUP BY."""
    query = select(Customer.name, func.count(Order.id)).outerjoin(Customer.orders)
    return dict(session.execute(query.group_by(Customer.name)).all())


@clean
def count_by_subquery(session: Session) -> Counts:
    """A correlated subquery in the one statement."""
    orders = select(func.count(Order.id)).where(Order.customer_id == Customer.id).scalar_subquery()
    return dict(session.execute(select(Customer.name, orders)).all())


@burst("touch")
def count_by_len(session: Session) -> Counts:
    """len() of a lazy collection loads all of it."""
    counts = {}
    for customer in customers(session):
        counts[customer.name] = len(customer.orders)  # touch
    return counts


@burst("order_count")
def count_by_property(session: Session) -> Counts:
    """The same in a property of the model."""
    return {customer.name: customer.order_count for customer in customers(session)}


@clean
def count_by_property_prepared(session: Session) -> Counts:
    """The property over loaded collections."""
    query = select(Customer).options(selectinload(Customer.orders).load_only(Order.id))
    return {customer.name: customer.order_count for customer in session.scalars(query)}


@burst("touch")
def dynamic_per_parent(session: Session) -> Counts:
    """A dynamic relationship queries each time it is asked."""
    stars = {}
    for product in session.scalars(select(Product).order_by(Product.id)).all():
        stars[product.sku] = product.reviews.count()  # touch
    return stars


@clean
def dynamic_of_one(session: Session) -> Counts:
    """What a dynamic relationship is for."""
    product = session.get_one(Product, 2)
    return {
        "all": product.reviews.count(),
        "good": product.reviews.filter(Review.stars > 3).count(),
    }


@burst("touch")
def write_only_per_parent(session: Session) -> Counts:
    """A write-only collection is read by a statement; here by eight."""
    visits = {}
    for customer in customers(session):
        pages = session.scalars(customer.visits.select()).all()  # touch
        visits[customer.name] = len(pages)
    return visits


@clean
def write_only_of_one(session: Session) -> list[str]:
    """A write-only collection of one parent."""
    customer = session.get_one(Customer, 3)
    customer.visits.add(Visit(page="/new"))
    session.flush()
    return [visit.page for visit in session.scalars(customer.visits.select())]


@burst("ask")
def latest_per_parent(session: Session) -> dict[str, str | None]:
    """The latest order of each customer, one by one."""

    def latest(customer: Customer) -> str | None:
        query = select(Order.number).where(Order.customer_id == customer.id)
        return session.scalars(query.order_by(Order.id.desc()).limit(1)).first()

    return {customer.name: latest(customer) for customer in customers(session)}  # ask


@clean
def latest_by_window(session: Session) -> dict[str, str]:
    """A window function ranks them at once."""
    rank = func.row_number().over(partition_by=Order.customer_id, order_by=Order.id.desc())
    numbered = select(Order.number, Order.customer_id, rank.label("rank")).subquery()
    query = (
        select(Customer.name, numbered.c.number)
        .join(numbered, numbered.c.customer_id == Customer.id)
        .where(numbered.c.rank == 1)
    )
    return dict(session.execute(query).all())


class Report:
    """A report in sections, each with its own query."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def scalar(self, statement: object) -> int:
        with self.engine.connect() as connection:
            return connection.execute(statement).scalar_one()  # type: ignore[call-overload]

    def revenue(self, category_id: int | None = None) -> int:
        query = select(func.coalesce(func.sum(Line.quantity * Line.cents), 0))
        if category_id is not None:
            query = query.join(Line.product).where(Product.category_id == category_id)
        return self.scalar(query)

    def customers(self) -> int:
        return self.scalar(select(func.count(Customer.id)))

    def products(self) -> int:
        return self.scalar(select(func.count(Product.id)))

    def orders(self, status: str) -> int:
        return self.scalar(select(func.count(Order.id)).where(Order.status == status))


@clean
def sections(engine: Engine) -> Counts:
    """Six sections through one generic line; two of them alike."""
    report = Report(engine)
    return {
        "revenue": report.revenue(),
        "customers": report.customers(),
        "products": report.products(),
        "open": report.orders("open"),
        "paid": report.orders("paid"),
        "closed": report.orders("closed"),
    }


@burst("ask")
def revenue_by_category(engine: Engine) -> dict[int, int]:
    """The same report in a loop over categories."""
    report = Report(engine)
    revenue = {}
    for category_id in range(1, 8):
        revenue[category_id] = report.revenue(category_id)  # ask
    return revenue


@clean
def revenue_grouped(engine: Engine) -> dict[int, int]:
    """Joined and grouped."""
    query = (
        select(Category.id, func.sum(Line.quantity * Line.cents))
        .join(Category.products)
        .join(Product.lines)
        .group_by(Category.id)
    )
    with engine.connect() as connection:
        return dict(connection.execute(query).all())


@burst("total")
def totals(session: Session) -> Counts:
    """A total of the model that adds up a lazy collection."""
    orders = session.scalars(select(Order).order_by(Order.id)).all()
    return {order.number: order.total for order in orders}


@clean
def total_of_one(session: Session) -> int:
    """The same total of one order."""
    return session.get_one(Order, 3).total


@burst("ask")
def any_per_parent(session: Session) -> list[str]:
    """EXISTS, asked for each customer."""
    buyers = []
    for customer in customers(session):
        paid = exists().where(Order.customer_id == customer.id, Order.status == "paid")
        if session.scalar(select(paid)):  # ask
            buyers.append(customer.name)
    return buyers


@clean
def any_in_where(session: Session) -> list[str]:
    """EXISTS, in the one query."""
    query = select(Customer.name).where(Customer.orders.any(Order.status == "paid"))
    return list(session.scalars(query.order_by(Customer.id)))
