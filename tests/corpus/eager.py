"""Eager loaders of every kind, also over many parents; and those that do not help."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    Session,
    contains_eager,
    defaultload,
    immediateload,
    joinedload,
    lazyload,
    raiseload,
    selectinload,
    subqueryload,
)

from corpus.models import Category, Customer, Line, Order, Product, Tag
from corpus.program import burst, clean

MANY = 1_300
"""Parents: selectinload asks for 500 of them at a time."""


def many_orders(session: Session) -> None:
    """Orders with two lines each."""
    session.execute(
        insert(Order),
        [{"number": f"B-{n}", "customer_id": 1 + n % 8, "status": "bulk"} for n in range(MANY)],
    )
    numbers = session.scalars(select(Order.id).where(Order.status == "bulk"))
    lines = [{"order_id": n, "product_id": 1 + n % 12, "cents": 1} for n in numbers]
    session.execute(insert(Line), lines * 2)


BULK = select(Order).where(Order.status == "bulk").order_by(Order.id)


@clean
def selectin_of_many(session: Session) -> int:
    """Three chunks from one eager loader."""
    many_orders(session)
    orders = session.scalars(BULK.options(selectinload(Order.lines))).all()
    return sum(len(order.lines) for order in orders)


@clean
def selectin_of_many_nested(session: Session) -> int:
    """Two levels, six chunks and more."""
    many_orders(session)
    wanted = selectinload(Order.lines).selectinload(Line.product).selectinload(Product.tags)
    orders = session.scalars(BULK.options(wanted)).all()
    return sum(line.product.cents for order in orders for line in order.lines)


@clean
def subquery_of_many(session: Session) -> int:
    """One subquery load."""
    many_orders(session)
    orders = session.scalars(BULK.options(subqueryload(Order.lines))).all()
    return sum(len(order.lines) for order in orders)


@clean
def joined_of_many(session: Session) -> int:
    """One join."""
    many_orders(session)
    orders = session.scalars(BULK.options(joinedload(Order.lines))).unique().all()
    return sum(len(order.lines) for order in orders)


@clean
def many_to_one_of_many(session: Session) -> int:
    """selectinload upwards, to eight customers."""
    many_orders(session)
    orders = session.scalars(BULK.options(selectinload(Order.customer))).all()
    return len({order.customer.name for order in orders})


@burst("ask")
def immediate(session: Session) -> int:
    """immediateload is eager and sends a SELECT for each parent."""
    query = select(Order).options(immediateload(Order.lines)).order_by(Order.id)
    orders = session.scalars(query).all()  # ask
    return sum(len(order.lines) for order in orders)


@clean
def immediate_of_one(session: Session) -> int:
    """immediateload of one row."""
    order = session.get_one(Order, 1, options=[immediateload(Order.lines)])
    return len(order.lines)


@clean
def contained(session: Session) -> dict[str, list[str]]:
    """A join that filters, and fills the collection with what it found."""
    query = (
        select(Customer)
        .join(Customer.orders)
        .where(Order.status == "paid")
        .options(contains_eager(Customer.orders))
        .order_by(Customer.id, Order.id)
        .execution_options(populate_existing=True)
    )
    customers = session.scalars(query).unique().all()
    return {customer.name: [order.number for order in customer.orders] for customer in customers}


@clean
def guarded(session: Session) -> list[str]:
    """raiseload: what was not asked for is an error, not a query."""
    query = select(Order).options(joinedload(Order.customer), raiseload("*")).order_by(Order.id)
    told = []
    for order in session.scalars(query).all():
        try:
            pieces = str(len(order.lines))
        except InvalidRequestError:
            pieces = "?"
        told.append(f"{order.customer.name}: {pieces}")
    return told


@clean
def eager_by_mapping(session: Session) -> list[str]:
    """Product maps its supplier joined and its images selectin."""
    shown = []
    for product in session.scalars(select(Product).order_by(Product.id)).all():
        supplier = product.supplier.name if product.supplier else "-"
        shown.append(f"{supplier} {len(product.images)}")
    return shown


@burst("touch")
def mapping_overruled(session: Session) -> list[str]:
    """lazyload("*") takes the mapping's eager loaders away."""
    query = select(Product).options(lazyload("*")).order_by(Product.id)
    paths = []
    for product in session.scalars(query).all():
        for image in product.images:  # touch
            paths.append(image.path)
    return paths


@clean
def deep(session: Session) -> set[str]:
    """Four levels by two kinds of loader."""
    wanted = (
        selectinload(Customer.orders)
        .selectinload(Order.lines)
        .joinedload(Line.product)
        .joinedload(Product.category)
    )
    names = set()
    for customer in session.scalars(select(Customer).options(wanted)).all():
        for order in customer.orders:
            for line in order.lines:
                if line.product.category:
                    names.add(line.product.category.name)
    return names


@clean
def default_then_eager(session: Session) -> int:
    """A lazy first step from one row, with an option for the second."""
    wanted = defaultload(Customer.orders).selectinload(Order.lines)
    customer = session.get_one(Customer, 2, options=[wanted])
    return sum(len(order.lines) for order in customer.orders)


@burst("touch")
def wrong_option(session: Session) -> int:
    """Customers are loaded with care, lines are used."""
    query = select(Order).options(joinedload(Order.customer)).order_by(Order.id)
    pieces = 0
    for order in session.scalars(query).all():
        for line in order.lines:  # touch
            pieces += line.quantity
    return pieces


@clean
def tree_by_depth(session: Session) -> list[str]:
    """A self-reference, eager as deep as the tree is."""
    wanted = selectinload(Category.children, recursion_depth=4)
    root = session.scalars(select(Category).where(Category.id == 1).options(wanted)).one()
    return [leaf.name for group in root.children for leaf in group.children]


@burst("touch")
def join_without_contains(session: Session) -> dict[str, int]:
    """A join in the query loads nothing by itself."""
    query = select(Tag.id).join(Tag.products)
    products = session.scalars(
        select(Product).outerjoin(Product.category).order_by(Category.name, Product.id)
    ).all()
    shelves: dict[str, int] = {"tagged": len(session.scalars(query).all())}
    for product in products:
        category = product.category  # touch
        if category is not None:
            shelves[category.name] = shelves.get(category.name, 0) + 1
    return shelves


@burst("touch")
def expired_by_commit(session: Session) -> int:
    """Loaded with care, thrown away by a commit, loaded again for each parent."""
    query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
    orders = session.scalars(query).all()
    for order in orders:
        order.status = "shipped"
    session.commit()
    pieces = 0
    for order in orders:
        pieces += len(order.lines)  # touch
    return pieces


@burst("touch")
def one_level_short(session: Session) -> set[str]:
    """Three levels prepared, the fourth forgotten."""
    wanted = selectinload(Customer.orders).selectinload(Order.lines).joinedload(Line.product)
    names = set()
    for customer in session.scalars(select(Customer).options(wanted)).all():
        for order in customer.orders:
            for line in order.lines:
                names.update(tag.name for tag in line.product.tags)  # touch
    return names
