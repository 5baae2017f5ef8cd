"""From mapped objects to plain data: by classes, by field names, by encoders."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, contains_eager, joinedload, selectinload, subqueryload

from corpus.models import Customer, Line, Order, Product, Tag
from corpus.program import burst, clean

Json = dict[str, Any]


class OrderSerializer:
    def serialize(self, order: Order) -> Json:
        return {
            "number": order.number,
            "lines": [self.serialize_line(line) for line in order.lines],  # serializer_lines
        }

    def serialize_line(self, line: Line) -> Json:
        return {"id": line.id, "quantity": line.quantity}


@burst("serializer_lines")
def nested_serializer(session: Session) -> list[Json]:
    """A serializer that walks into a lazy collection."""
    serializer = OrderSerializer()
    orders = session.scalars(select(Order).order_by(Order.id)).all()
    return [serializer.serialize(order) for order in orders]


@clean
def nested_serializer_prepared(session: Session) -> list[Json]:
    """The same serializer over a query that knows its fields."""
    serializer = OrderSerializer()
    query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
    return [serializer.serialize(order) for order in session.scalars(query)]


@clean
def one_object(session: Session) -> Json:
    """The same serializer for a single row."""
    return OrderSerializer().serialize(session.get_one(Order, 5))


@dataclass
class CustomerSchema:
    name: str
    language: str | None

    @classmethod
    def from_row(cls, customer: Customer) -> CustomerSchema:
        profile = customer.profile  # schema_profile
        return cls(customer.name, profile.language if profile else None)


@burst("schema_profile")
def schemas(session: Session) -> list[Json]:
    """One-to-one, touched while a schema is built."""
    customers = session.scalars(select(Customer).order_by(Customer.id)).all()
    return [asdict(CustomerSchema.from_row(customer)) for customer in customers]


@clean
def schemas_contains_eager(session: Session) -> list[Json]:
    """Joined by hand, and said so."""
    query = (
        select(Customer)
        .join(Customer.profile)
        .options(contains_eager(Customer.profile))
        .order_by(Customer.id)
    )
    return [asdict(CustomerSchema.from_row(customer)) for customer in session.scalars(query)]


@clean
def schemas_of_columns(session: Session) -> list[Json]:
    """Columns instead of objects: there is nothing to load later."""
    query = select(Customer.name, Customer.city).order_by(Customer.id)
    return [{"name": name, "city": city} for name, city in session.execute(query)]


class FieldSerializer:
    """Serializes the fields it is told, following relationships one level."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields

    def many(self, rows: Any) -> list[Json]:
        return [self.one(row) for row in rows]

    def one(self, row: Any) -> Json:
        return {field: self.value(row, field) for field in self.fields}

    def value(self, row: Any, field: str) -> Any:
        found = getattr(row, field)  # generic_field
        return getattr(found, "name", found)


@burst("generic_field")
def by_field_name(session: Session) -> list[Json]:
    """The relationship is a string until getattr."""
    return FieldSerializer("number", "customer").many(
        session.scalars(select(Order).order_by(Order.id)).all()
    )


@clean
def by_field_name_prepared(session: Session) -> list[Json]:
    """Loader options made from the same strings."""
    wanted = [joinedload(getattr(Order, name)) for name in ("customer", "coupon")]
    orders = session.scalars(select(Order).options(*wanted).order_by(Order.id)).all()
    return FieldSerializer("number", "customer", "coupon").many(orders)


@clean
def by_field_name_columns_only(session: Session) -> list[Json]:
    """The generic serializer with columns alone."""
    return FieldSerializer("id", "number", "status").many(session.scalars(select(Order)).all())


def encode(value: Any) -> Any:
    """For json.dumps(default=...)."""
    if isinstance(value, Product):
        return {"sku": value.sku, "category": value.category.name}  # encode_category
    raise TypeError(type(value))


@burst("encode_category")
def json_default(session: Session) -> str:
    """The encoder is called from the json library."""
    products = session.scalars(select(Product).order_by(Product.id)).all()
    return json.dumps({"products": list(products)}, default=encode)


@clean
def json_default_prepared(session: Session) -> str:
    """The same encoder, everything at hand."""
    query = select(Product).options(selectinload(Product.category)).order_by(Product.id)
    return json.dumps(session.scalars(query).all(), default=encode)


@burst("touch")
def csv_with_tags(session: Session) -> str:
    """Many-to-many, in a CSV column."""
    file = io.StringIO()
    writer = csv.writer(file)
    for product in session.scalars(select(Product).order_by(Product.id)).all():
        tags = " ".join(tag.name for tag in product.tags)  # touch
        writer.writerow([product.sku, tags])
    return file.getvalue()


@clean
def csv_with_tags_subquery(session: Session) -> str:
    """The same column by subqueryload."""
    file = io.StringIO()
    writer = csv.writer(file)
    query = select(Product).options(subqueryload(Product.tags)).order_by(Product.id)
    for product in session.scalars(query).all():
        writer.writerow([product.sku, " ".join(tag.name for tag in product.tags)])
    return file.getvalue()


@burst("touch")
def tag_index(session: Session) -> Json:
    """Many-to-many from the other side."""
    index = {}
    for tag in session.scalars(select(Tag).order_by(Tag.id)).all():
        index[tag.name] = [product.sku for product in tag.products]  # touch
    return index
