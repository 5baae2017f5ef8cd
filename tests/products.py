"""A mapped class, an external call, and what is open here."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import txprof
from txprof import context


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def io() -> None:
    """An external call."""
    with txprof.external_call("http", "GET https://example.com/"):
        pass


def state() -> str:
    """What is open here: transaction, held or free."""
    hold = context.deciding(context.open_here())
    if hold is None:
        return "free"
    return "held" if hold.transaction is None else "transaction"
