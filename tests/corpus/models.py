"""A shop: every kind of relationship, inheritance, deferred columns, and rows to start with."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import Column, Engine, ForeignKey, String, Table, Text, insert
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


class Base(AsyncAttrs, DeclarativeBase):
    """`await row.awaitable_attrs.name` works on every class."""


product_tag = Table(
    "product_tag",
    Base.metadata,
    Column("product_id", ForeignKey("product.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    members: Mapped[list[Employee]] = relationship(
        back_populates="team", order_by="Employee.id", foreign_keys="Employee.team_id"
    )


class Employee(Base):
    """Joined-table inheritance; a hierarchy by `manager_id`."""

    __tablename__ = "employee"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(40))
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    manager_id: Mapped[int | None] = mapped_column(ForeignKey("employee.id"))
    team: Mapped[Team | None] = relationship(back_populates="members", foreign_keys=[team_id])
    manager: Mapped[Employee | None] = relationship(
        remote_side=[id], back_populates="reports", foreign_keys=[manager_id]
    )
    reports: Mapped[list[Employee]] = relationship(
        back_populates="manager", order_by="Employee.id", foreign_keys=[manager_id]
    )
    documents: Mapped[list[Document]] = relationship(back_populates="author")
    __mapper_args__: ClassVar[dict[str, Any]] = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "employee",
    }


class Engineer(Employee):
    __tablename__ = "engineer"
    id: Mapped[int] = mapped_column(ForeignKey("employee.id"), primary_key=True)
    language: Mapped[str] = mapped_column(String(20))
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "engineer"}


class Manager(Employee):
    __tablename__ = "manager"
    id: Mapped[int] = mapped_column(ForeignKey("employee.id"), primary_key=True)
    budget: Mapped[int]
    __mapper_args__: ClassVar[dict[str, Any]] = {
        "polymorphic_identity": "manager",
        "inherit_condition": id == Employee.id,
    }


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(80), unique=True)
    name: Mapped[str] = mapped_column(String(40))
    city: Mapped[str] = mapped_column(String(40), default="Vienna")
    orders: Mapped[list[Order]] = relationship(back_populates="customer", order_by="Order.id")
    profile: Mapped[Profile | None] = relationship(back_populates="customer")
    visits: WriteOnlyMapped[Visit] = relationship(order_by="Visit.id")

    @property
    def order_count(self) -> int:
        return len(self.orders)  # order_count


class Profile(Base):
    __tablename__ = "profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), unique=True)
    language: Mapped[str] = mapped_column(String(5))
    customer: Mapped[Customer] = relationship(back_populates="profile")


class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    page: Mapped[str] = mapped_column(String(80))


class Coupon(Base):
    __tablename__ = "coupon"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(20), unique=True)
    status: Mapped[str] = mapped_column(String(20), default="open")
    day: Mapped[int] = mapped_column(default=0)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    coupon_id: Mapped[int | None] = mapped_column(ForeignKey("coupon.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    coupon: Mapped[Coupon | None] = relationship()
    lines: Mapped[list[Line]] = relationship(
        back_populates="order", order_by="Line.id", cascade="all, delete-orphan"
    )
    payments: Mapped[list[Payment]] = relationship(back_populates="order", order_by="Payment.id")

    @property
    def total(self) -> int:
        return sum(line.quantity * line.cents for line in self.lines)  # total

    def __str__(self) -> str:
        return f"{self.number} of {self.customer.name}"  # order_str


class Line(Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    quantity: Mapped[int] = mapped_column(default=1)
    cents: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship(back_populates="lines")


class Payment(Base):
    """Single-table inheritance."""

    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    cents: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="payments")
    __mapper_args__: ClassVar[dict[str, Any]] = {
        "polymorphic_on": "kind",
        "polymorphic_identity": "payment",
    }


class CardPayment(Payment):
    last4: Mapped[str | None] = mapped_column(String(4))
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "card"}


class TransferPayment(Payment):
    iban: Mapped[str | None] = mapped_column(String(34))
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "transfer"}


class Supplier(Base):
    __tablename__ = "supplier"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))


class Product(Base):
    """Its supplier and images are eager by mapping."""

    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(String(40))
    cents: Mapped[int]
    stock: Mapped[int] = mapped_column(default=10)
    category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
    supplier_id: Mapped[int | None] = mapped_column(ForeignKey("supplier.id"))
    category: Mapped[Category | None] = relationship(back_populates="products")
    supplier: Mapped[Supplier | None] = relationship(lazy="joined")
    images: Mapped[list[Image]] = relationship(lazy="selectin", order_by="Image.id")
    tags: Mapped[list[Tag]] = relationship(
        secondary=product_tag, back_populates="products", order_by="Tag.id"
    )
    lines: Mapped[list[Line]] = relationship(back_populates="product")
    reviews: DynamicMapped[Review] = relationship(order_by="Review.id")


class Image(Base):
    __tablename__ = "image"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    path: Mapped[str] = mapped_column(String(80))


class Review(Base):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    stars: Mapped[int]


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20), unique=True)
    products: Mapped[list[Product]] = relationship(
        secondary=product_tag, back_populates="tags", order_by="Product.id"
    )


class Category(Base):
    __tablename__ = "category"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
    parent: Mapped[Category | None] = relationship(remote_side=[id], back_populates="children")
    children: Mapped[list[Category]] = relationship(back_populates="parent", order_by=id)
    products: Mapped[list[Product]] = relationship(back_populates="category", order_by=Product.id)


class Document(Base):
    __tablename__ = "document"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(80))
    author_id: Mapped[int] = mapped_column(ForeignKey("employee.id"))
    body: Mapped[str] = mapped_column(Text, deferred=True)
    summary: Mapped[str] = mapped_column(Text, deferred=True, deferred_group="long")
    appendix: Mapped[str] = mapped_column(Text, deferred=True, deferred_group="long")
    author: Mapped[Employee] = relationship(back_populates="documents")


class Option(Base):
    """A setting of the shop."""

    __tablename__ = "option"
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(80))


class Audit(Base):
    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    message: Mapped[str] = mapped_column(String(120))


CUSTOMERS, PRODUCTS, ORDERS, DOCUMENTS = 8, 12, 12, 8


def seed(engine: Engine) -> None:
    """Fill the empty tables; identities count from 1."""
    with Session(engine) as session:
        for rows in _rows():
            session.add_all(rows)
            session.flush()
        pairs = [(n, 1 + (n + more) % 5) for n in range(1, PRODUCTS + 1) for more in (0, 1)]
        session.execute(insert(product_tag), [{"product_id": n, "tag_id": tag} for n, tag in pairs])
        session.commit()


def _rows() -> list[list[Base]]:
    numbers = range(1, PRODUCTS + 1)
    return [
        [Team(name=name) for name in ("core", "web", "data")],
        [Manager(name=f"manager {n}", budget=1_000 * n, team_id=n) for n in (1, 2, 3)],
        [
            Engineer(
                name=f"engineer {n}",
                language=("Python", "SQL")[n % 2],
                team_id=1 + n % 3,
                manager_id=1 + n % 3,
            )
            for n in range(1, 8)
        ],
        [
            Customer(email=f"c{n}@example.com", name=f"customer {n}", city=("Graz", "Linz")[n % 2])
            for n in range(1, CUSTOMERS + 1)
        ],
        [Profile(customer_id=n, language=("de", "en")[n % 2]) for n in range(1, CUSTOMERS + 1)],
        [Visit(customer_id=1 + n % CUSTOMERS, page=f"/p/{n}") for n in range(16)],
        [Coupon(code="SPRING")],
        [Category(name="all")],
        [Category(name=f"group {n}", parent_id=1) for n in (2, 3)],
        [Category(name=f"shelf {n}", parent_id=2 + n % 2) for n in (4, 5, 6, 7)],
        [Tag(name=f"tag {n}") for n in range(1, 6)],
        [Supplier(name=f"supplier {n}") for n in (1, 2, 3)],
        [
            Product(
                sku=f"sku-{n}",
                name=f"product {n}",
                cents=100 * n,
                category_id=1 + n % 7,
                supplier_id=1 + n % 3,
            )
            for n in numbers
        ],
        [Image(product_id=n, path=f"images/{n}.png") for n in numbers],
        [Review(product_id=1 + n % PRODUCTS, stars=1 + n % 5) for n in range(24)],
        [
            Order(
                number=f"A-{n}",
                customer_id=1 + n % CUSTOMERS,
                day=n % 7,
                status=("open", "paid")[n % 3 == 0],
            )
            for n in range(1, ORDERS + 1)
        ],
        [
            Line(order_id=1 + n // 3, product_id=1 + n % PRODUCTS, quantity=1 + n % 2, cents=100)
            for n in range(3 * ORDERS)
        ],
        [CardPayment(order_id=n, cents=300, last4=f"{n:04}") for n in range(1, 7)],
        [TransferPayment(order_id=n, cents=300, iban=f"AT{n}") for n in range(7, ORDERS + 1)],
        [
            Document(
                title=f"document {n}",
                author_id=3 + n,
                body=f"body {n}",
                summary=f"summary {n}",
                appendix=f"appendix {n}",
            )
            for n in range(1, 8)
        ]
        + [Document(title="document 8", author_id=1, body="b", summary="s", appendix="a")],
        [Option(name=name, value="1") for name in ("currency", "tax", "theme")],
    ]
