"""Request handlers: they load rows and answer with plain data."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, selectinload

from corpus.models import Customer, Line, Order
from corpus.program import burst, clean

Json = dict[str, Any]


@burst("touch")
def order_list(session: Session) -> list[Json]:
    """Each row of the list names its customer."""
    orders = session.scalars(select(Order).order_by(Order.id)).all()
    rows = []
    for order in orders:
        rows.append({"number": order.number, "customer": order.customer.name})  # touch
    return rows


@clean
def order_list_joined(session: Session) -> list[Json]:
    """The same list with its customers in one query."""
    query = select(Order).options(joinedload(Order.customer)).order_by(Order.id)
    return [
        {"number": order.number, "customer": order.customer.name}
        for order in session.scalars(query)
    ]


@burst("product")
def order_detail(session: Session, order_id: int = 1) -> Json:
    """One order, but three lines, each of another product."""
    order = session.get_one(Order, order_id)
    items = []
    for line in order.lines:
        product = line.product  # product
        items.append({"sku": product.sku, "quantity": line.quantity})
    return {"number": order.number, "items": items}


@clean
def order_detail_prepared(session: Session, order_id: int = 1) -> Json:
    """The same with a loader for both levels."""
    wanted = selectinload(Order.lines).joinedload(Line.product)
    order = session.get_one(Order, order_id, options=[wanted])
    items = [{"sku": line.product.sku, "quantity": line.quantity} for line in order.lines]
    return {"number": order.number, "items": items}


@clean
def order_header(session: Session) -> Json:
    """A chain of lazy loads from a single row: each relationship once."""
    order = session.scalars(select(Order).where(Order.number == "A-3")).one()
    customer = order.customer
    profile = customer.profile
    return {
        "number": order.number,
        "language": profile.language if profile else None,
        "orders": len(customer.orders),
        "coupon": order.coupon.code if order.coupon else None,
    }


@clean
def order_numbers(session: Session) -> Json:
    """Relationships that are never touched cost nothing."""
    orders = session.scalars(select(Order).where(Order.status == "open")).all()
    return {"count": len(orders), "numbers": [order.number for order in orders]}


@burst("profile", "orders")
def customer_dashboard(session: Session) -> list[Json]:
    """Two relationships side by side, both lazy."""
    cards = []
    for customer in session.scalars(select(Customer).order_by(Customer.id)).all():
        profile = customer.profile  # profile
        numbers = [order.number for order in customer.orders]  # orders
        cards.append({"name": customer.name, "profile": profile is not None, "orders": numbers})
    return cards


@clean
def my_orders(session: Session, customer_id: int = 2) -> list[str]:
    """All rows have the same parent: it is loaded once."""
    orders = session.scalars(
        select(Order).where(Order.customer_id == customer_id).order_by(Order.id)
    ).all()
    return [f"{order.number} for {order.customer.name}" for order in orders]


@clean
def compare_two(session: Session, left: int = 1, right: int = 2) -> Json:
    """Two orders, asked for on lines of their own: nothing repeats."""
    first = session.get_one(Order, left)
    second = session.get_one(Order, right)
    first_total = first.customer.name
    second_total = second.customer.name
    return {"left": first_total, "right": second_total, "same": first_total == second_total}


@burst("touch")
def latest_two(session: Session) -> list[Json]:
    """Only two parents today; two hundred when somebody raises the limit."""
    latest = session.scalars(select(Order).order_by(Order.id.desc()).limit(2)).all()
    answer = []
    for order in latest:
        lines = order.lines  # touch
        answer.append({"number": order.number, "pieces": sum(line.quantity for line in lines)})
    return answer


@clean
def coupons_used(session: Session) -> list[str]:
    """Foreign keys that are NULL need no query."""
    codes = []
    for order in session.scalars(select(Order).order_by(Order.id)).all():
        codes.append(order.coupon.code if order.coupon else "-")
    return codes


@burst("outer", "inner")
def full_export(session: Session) -> list[Json]:
    """Two levels, both lazy."""
    exported = []
    for order in session.scalars(select(Order).where(Order.id <= 4).order_by(Order.id)).all():
        for line in order.lines:  # outer
            name = line.product.name  # inner
            exported.append({"order": order.number, "product": name})
    return exported


@burst("inner")
def half_prepared(session: Session) -> list[Json]:
    """The outer level is eager, the inner one was forgotten."""
    query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
    exported = []
    for order in session.scalars(query).all():
        for line in order.lines:
            name = line.product.name  # inner
            exported.append({"order": order.number, "product": name})
    return exported


class OrderView:
    """A class-based view with hooks, as frameworks have them."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def queryset(self) -> list[Order]:
        return list(self.session.scalars(select(Order).order_by(Order.id)).unique())

    def context(self) -> Json:
        return {"rows": [self.row(order) for order in self.queryset()]}

    def row(self, order: Order) -> Json:
        return {"number": order.number, "lines": len(order.lines)}  # view_row


class PreparedOrderView(OrderView):
    def queryset(self) -> list[Order]:
        query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
        return list(self.session.scalars(query))


@burst("view_row")
def class_view(session: Session) -> Json:
    """The touch is in a hook of the view."""
    return OrderView(session).context()


@clean
def prepared_class_view(session: Session) -> Json:
    """A view that says what its rows need."""
    return PreparedOrderView(session).context()


@clean
def sidebar(session: Session) -> Json:
    """Five different counters: five shapes from five lines."""
    return {
        "orders": session.scalar(select(func.count(Order.id))),
        "open": session.scalar(select(func.count(Order.id)).where(Order.status == "open")),
        "customers": session.scalar(select(func.count(Customer.id))),
        "cities": session.scalar(select(func.count(Customer.city.distinct()))),
        "lines": session.scalar(select(func.count(Line.id))),
        "pieces": session.scalar(select(func.sum(Line.quantity))),
    }


@burst("touch")
def admin_list(session: Session) -> list[list[str]]:
    """Columns named by paths, as admin sites have them: "customer.name"."""
    columns = ("number", "customer.name", "customer.city")
    cells = []
    for order in session.scalars(select(Order).order_by(Order.id)).all():
        found = [str(attrgetter(column)(order)) for column in columns]  # touch
        cells.append(found)
    return cells


@clean
def save_and_show(session: Session) -> Json:
    """What a form saved is read again after its commit: one row."""
    order = session.get_one(Order, 3)
    order.status = "paid"
    session.commit()
    return {"number": order.number, "status": order.status, "customer": order.customer.name}
