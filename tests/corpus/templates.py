"""Templates, format strings, __str__ and mail merges."""

from __future__ import annotations

from string import Template

import jinja2
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from corpus.models import Customer, Line, Order, Product
from corpus.program import burst, clean

ALL_ORDERS = select(Order).order_by(Order.id)

ROW = Template("<tr><td>$number</td><td>$customer</td></tr>")


def row(order: Order) -> str:
    return ROW.substitute(number=order.number, customer=order.customer.name)  # template_row


def table(orders: list[Order]) -> str:
    return "<table>" + "".join(map(row, orders)) + "</table>"


@burst("template_row")
def html_table(session: Session) -> str:
    """The row template is filled in a helper."""
    return table(list(session.scalars(ALL_ORDERS)))


@clean
def html_table_joined(session: Session) -> str:
    """The view knows what its template shows."""
    return table(list(session.scalars(ALL_ORDERS.options(joinedload(Order.customer)))))


@burst("touch")
def format_attributes(session: Session) -> list[str]:
    """The relationship is in the format string."""
    wording = "{0.number}: {0.customer.name} <{0.customer.email}>"
    lines = []
    for order in session.scalars(ALL_ORDERS).all():
        lines.append(wording.format(order))  # touch
    return lines


@burst("order_str")
def str_of_each(session: Session) -> str:
    """__str__ that follows a relationship."""
    return ", ".join(str(order) for order in session.scalars(ALL_ORDERS).all())


@burst("order_str")
def log_each(session: Session) -> list[str]:
    """A debug line that formats the object."""
    log: list[str] = []
    for order in session.scalars(ALL_ORDERS.where(Order.status == "open")).all():
        log.append(f"looking at {order}")
        log.append(f"done with {order.id}")
    return log


@clean
def str_of_each_prepared(session: Session) -> str:
    """The same __str__ over loaded customers."""
    query = ALL_ORDERS.options(selectinload(Order.customer))
    return ", ".join(map(str, session.scalars(query)))


@clean
def str_of_one(session: Session) -> str:
    """One order, formatted three times."""
    order = session.get_one(Order, 1)
    return f"{order} / {order!s} / {str(order).upper()}"


ENVIRONMENT = jinja2.Environment(
    autoescape=True,
    loader=jinja2.DictLoader(
        {
            "orders.html": (
                "{% for order in orders %}<li>{{ order.number }}\n"
                "{% for line in order.lines %}{{ line.quantity }} {% endfor %}</li>{% endfor %}"
            ),
            "order.html": "<h1>{{ order.number }}</h1>{{ order.customer.profile.language }}",
        }
    ),
)


@burst("render")
def jinja_list(session: Session) -> str:
    """The loop is in the template: the line that renders it is the application's."""
    template = ENVIRONMENT.get_template("orders.html")
    orders = session.scalars(ALL_ORDERS).all()
    return template.render(orders=orders)  # render


@clean
def jinja_list_prepared(session: Session) -> str:
    """The same template with its lines loaded."""
    orders = session.scalars(ALL_ORDERS.options(selectinload(Order.lines))).all()
    return ENVIRONMENT.get_template("orders.html").render(orders=orders)


@clean
def jinja_detail(session: Session) -> str:
    """A template for one row, two relationships deep."""
    order = session.get_one(Order, 4)
    return ENVIRONMENT.get_template("order.html").render(order=order)


class Invoice:
    """An invoice of one order, line by line."""

    def __init__(self, order: Order) -> None:
        self.order = order

    def head(self) -> str:
        return f"{self.order.customer.name}, {self.order.customer.city}"

    def position(self, line: Line) -> str:
        return f"{line.quantity} x {line.product.name}"  # invoice_position

    def text(self) -> str:
        return "\n".join([self.head(), *map(self.position, self.order.lines)])


@burst("invoice_position")
def invoice(session: Session) -> str:
    """One invoice; three positions, three products."""
    return Invoice(session.get_one(Order, 2)).text()


@clean
def invoice_prepared(session: Session) -> str:
    """The same invoice with what it prints."""
    wanted = selectinload(Order.lines).selectinload(Line.product)
    return Invoice(session.get_one(Order, 2, options=[wanted])).text()


@burst("greeting")
def mail_merge(session: Session) -> list[str]:
    """Conditional text that depends on the profile."""

    def greeting(customer: Customer) -> str:
        german = customer.profile and customer.profile.language == "de"  # greeting
        return f"{'Hallo' if german else 'Hello'} {customer.name}"

    return [greeting(each) for each in session.scalars(select(Customer)).all()]


@clean
def price_list(session: Session) -> str:
    """Suppliers and images are eager by mapping."""
    products = session.scalars(select(Product).order_by(Product.id)).all()
    return "\n".join(
        f"{product.name} by {product.supplier.name if product.supplier else '?'}: "
        f"{', '.join(image.path for image in product.images)}"
        for product in products
    )
