"""A shop: customers, their orders, and what hangs on them, for the tests of bursts."""

from __future__ import annotations

from sqlalchemy import Column, Engine, ForeignKey, Table
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import (
    DeclarativeBase,
    DynamicMapped,
    Mapped,
    Session,
    WriteOnlyMapped,
    mapped_column,
    relationship,
)

CUSTOMERS = 6


class Base(AsyncAttrs, DeclarativeBase):
    pass


tagged = Table(
    "tagged",
    Base.metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    biography: Mapped[str] = mapped_column(deferred=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer", order_by="Order.id")
    profile: Mapped[CustomerProfile] = relationship(back_populates="customer")

    @property
    def first(self) -> Order:
        return self.orders[0]  # property

    def __str__(self) -> str:
        return f"{self.name} ({len(self.orders)})"  # str


class CustomerProfile(Base):
    __tablename__ = "profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), unique=True)
    customer: Mapped[Customer] = relationship(back_populates="profile")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer | None] = relationship(back_populates="orders")
    lines: Mapped[list[Line]] = relationship(order_by="Line.id")
    tags: Mapped[list[Tag]] = relationship(secondary=tagged, back_populates="orders")
    kept: DynamicMapped[Line] = relationship(viewonly=True)
    written: WriteOnlyMapped[Line] = relationship(viewonly=True)


class Line(Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    amount: Mapped[int]


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(secondary=tagged, back_populates="tags")


class Category(Base):
    __tablename__ = "category"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
    children: Mapped[list[Category]] = relationship(back_populates="parent")
    parent: Mapped[Category | None] = relationship(back_populates="children", remote_side=[id])


class Employee(Base):
    __tablename__ = "employee"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}  # noqa: RUF012


class Engineer(Employee):
    """Joined-table inheritance."""

    __tablename__ = "engineer"
    id: Mapped[int] = mapped_column(ForeignKey("employee.id"), primary_key=True)
    language: Mapped[str]
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012


class Manager(Employee):
    """Single-table inheritance."""

    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012


def filled(engine: Engine) -> Engine:
    """Customers of two orders of two lines each, and what hangs on them."""
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        tags = [Tag(), Tag()]
        for number in range(CUSTOMERS):
            customer = Customer(name=f"c{number}", biography="long", profile=CustomerProfile())
            for _ in range(2):
                lines = [Line(amount=1), Line(amount=2)]
                customer.orders.append(Order(lines=lines, tags=list(tags)))
            session.add(customer)
            session.flush()
            session.add(Engineer(language="python", customer_id=customer.id))
            session.add(Manager(customer_id=customer.id))
        session.add(Category(children=[Category(children=[Category()]) for _ in range(3)]))
    return engine
