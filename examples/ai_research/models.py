"""The tables: products, the details that are known of them, and the units these come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import (
    Connection,
    Engine,
    ForeignKey,
    String,
    create_engine,
    insert,
    inspect,
    make_url,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    mapped_column,
    relationship,
    selectinload,
    sessionmaker,
)

SPECS = {
    "size": {"width": "mm", "volume": "l"},
    "weight": {"net weight": "kg", "cable length": "m"},
    "power": {"rated power": "W", "consumption": "kWh"},
    "supply": {"voltage": "V", "frequency": "Hz"},
    "battery": {"capacity": "Ah", "charging time": "min"},
    "motor": {"speed": "rpm", "torque": "Nm"},
    "sound": {"sound power": "dB", "range": "km"},
    "light": {"brightness": "lm", "colour temperature": "K"},
    "air": {"pressure": "bar", "flow rate": "l/min"},
    "offer": {"price": "EUR", "warranty": "years"},
}
"""What a data sheet says, section by section: each spec with its unit."""

POOL = {"pool_size": 5, "max_overflow": 0, "pool_timeout": 1}
ASYNC_POOL = {"pool_size": 10, "max_overflow": 0, "pool_timeout": 5}

ASYNC_DRIVERS = {"sqlite": "aiosqlite", "postgresql": "psycopg"}
"""What asyncio uses where a URL names no driver."""

CONNECT = {
    "pysqlite": {"timeout": 30},  # one writer at a time: the others wait for it
    "aiosqlite": {"timeout": 30},
    "asyncpg": {"timeout": 10},
    "psycopg": {"connect_timeout": 10},
    "psycopg_async": {"connect_timeout": 10},
    "psycopg2": {"connect_timeout": 10},
    "pymysql": {"connect_timeout": 10},
    "mysqldb": {"connect_timeout": 10},
}
"""What a driver needs to be told, in seconds."""

Session = sessionmaker()
AsyncSession = async_sessionmaker()


class Base(DeclarativeBase):
    pass


class Unit(Base):
    __tablename__ = "txprof_demo_unit"

    id: Mapped[int] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(String(20))


class Detail(Base):
    __tablename__ = "txprof_demo_detail"

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("txprof_demo_product.id"), index=True)
    unit_id: Mapped[int] = mapped_column(ForeignKey(Unit.id))
    name: Mapped[str] = mapped_column(String(50))
    value: Mapped[str | None] = mapped_column(String(50))
    unit: Mapped[Unit] = relationship()


class Product(Base):
    __tablename__ = "txprof_demo_product"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    image_url: Mapped[str | None] = mapped_column(String(200))
    details: Mapped[list[Detail]] = relationship(order_by=Detail.id)


DETAILS = selectinload(Product.details).joinedload(Detail.unit)
"""Read what is known of a product in two queries."""


# --- the database -------------------------------------------------------------------------------


class TablesExist(Exception):
    """The database has tables of these names already; they are not ours to drop."""


def connect(url: str) -> Engine:
    """Use the database at `url` on threads, until the engine is disposed of."""
    options = CONNECT.get(make_url(url).get_driver_name(), {})
    engine = create_engine(url, connect_args=options, **POOL)
    Session.configure(bind=engine)
    return engine


def connect_async(url: str) -> AsyncEngine:
    """Use the database at `url` in asyncio, until the engine is disposed of."""
    parsed = make_url(url)
    if parsed.drivername in ASYNC_DRIVERS:
        parsed = parsed.set(drivername=f"{parsed.drivername}+{ASYNC_DRIVERS[parsed.drivername]}")
    options = CONNECT.get(parsed.get_driver_name(), {})
    engine = create_async_engine(parsed, connect_args=options, **ASYNC_POOL)
    AsyncSession.configure(bind=engine)
    return engine


@contextmanager
def tables(within: Callable[..., None], products: int) -> Iterator[None]:
    """The tables, with so many products in them, while the block runs.

    `within(function, *arguments)` calls a function with a connection, in a transaction.
    """
    within(_refuse_present)
    try:
        within(_create, products)
        yield
    finally:
        within(Base.metadata.drop_all)


def clear(connection: Connection) -> None:
    """Forget what was found out about the products."""
    connection.execute(update(Product).values(image_url=None))
    connection.execute(update(Detail).values(value=None))


def _refuse_present(connection: Connection) -> None:
    present = sorted(set(inspect(connection).get_table_names()) & set(Base.metadata.tables))
    if present:
        raise TablesExist(", ".join(present))


def _create(connection: Connection, products: int) -> None:
    Base.metadata.create_all(connection)
    specs = [spec for section in SPECS.values() for spec in section.items()]
    connection.execute(
        insert(Unit),
        [{"id": id, "symbol": unit} for id, (_, unit) in enumerate(specs, 1)],
    )
    connection.execute(
        insert(Product),
        [{"id": id, "name": f"Cordless drill CD-{id:03}"} for id in range(1, products + 1)],
    )
    connection.execute(
        insert(Detail),
        [
            {"product_id": product, "unit_id": unit, "name": name}
            for product in range(1, products + 1)
            for unit, (name, _) in enumerate(specs, 1)
        ],
    )
