"""asyncio: the ORM runs in a greenlet, its callers in tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, joinedload, selectinload

from corpus.models import Audit, Customer, Document, Order, Product
from corpus.program import burst, clean, write_loop


class Products:
    """An async repository."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def get(self, number: int) -> Product:
        return await self.session.get_one(Product, number)

    async def get_many(self, numbers: Sequence[int]) -> Sequence[Product]:
        query = select(Product).where(Product.id.in_(numbers)).order_by(Product.id)
        return (await self.session.scalars(query)).all()


@burst("touch")
async def awaitable_attributes(session: AsyncSession) -> dict[str, int]:
    """awaitable_attrs loads lazily too, but says await."""
    pieces = {}
    for order in (await session.scalars(select(Order).order_by(Order.id))).all():
        lines = await order.awaitable_attrs.lines  # touch
        pieces[order.number] = sum(line.quantity for line in lines)
    return pieces


@clean
async def awaitable_attribute_of_one(session: AsyncSession) -> int:
    """One order."""
    order = await session.get_one(Order, 2)
    return len(await order.awaitable_attrs.lines)


@clean
async def eager(session: AsyncSession) -> dict[str, int]:
    """What async code does as a rule."""
    query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
    orders = (await session.scalars(query)).all()
    return {order.number: len(order.lines) for order in orders}


@burst("ask")
async def get_in_loop(session: AsyncSession) -> list[str]:
    """await in a loop, one after another."""
    names = []
    for number in range(1, 8):
        product = await session.get_one(Product, number)  # ask
        names.append(product.name)
    return names


@burst("ask")
async def repository_in_loop(session: AsyncSession) -> list[str]:
    """Through a repository; the caller loops."""
    products = Products(session)
    names = []
    for number in range(1, 8):
        product = await products.get(number)  # ask
        names.append(product.name)
    return names


@clean
async def repository_many(session: AsyncSession) -> list[str]:
    """The repository can do better."""
    return [product.name for product in await Products(session).get_many(range(1, 8))]


def letters(session: Session) -> list[str]:
    orders = session.scalars(select(Order).order_by(Order.id)).all()
    return [f"{order.number}: {order.customer.email}" for order in orders]  # letters


@burst("letters")
async def sync_code_inside(session: AsyncSession) -> list[str]:
    """Old synchronous code, through run_sync."""
    return await session.run_sync(letters)


@clean
async def sync_code_of_one(session: AsyncSession) -> str:
    """run_sync for a chain from one row."""

    def letter(sync_session: Session) -> str:
        order = sync_session.get_one(Order, 1)
        return f"{order.number}: {order.customer.email}"

    return await session.run_sync(letter)


async def customer_name(engine: AsyncEngine, number: int) -> str:
    async with AsyncSession(engine) as session:
        customer = await session.get_one(Customer, number)  # gathered
        return customer.name


@burst("gathered")
async def gathered(engine: AsyncEngine) -> list[str]:
    """All at the same time, each in a task and a session of its own."""
    return await asyncio.gather(*(customer_name(engine, number) for number in range(1, 9)))


@clean
async def gathered_sections(engine: AsyncEngine) -> list[int]:
    """Different queries at the same time are no burst."""

    async def count(model: Any) -> int:
        async with AsyncSession(engine) as session:
            return (await session.scalars(select(func.count(model.id)))).one()

    return await asyncio.gather(*map(count, (Customer, Order, Product, Document)))


@clean
async def task_group(engine: AsyncEngine) -> dict[str, int]:
    """Two halves in two tasks: an IN list each."""
    found: dict[str, int] = {}

    async def load(numbers: range) -> None:
        async with AsyncSession(engine) as session:
            for product in await Products(session).get_many(numbers):
                found[product.sku] = product.stock

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load(range(1, 7)))
        tasks.create_task(load(range(7, 13)))
    return dict(sorted(found.items()))


@burst("ask")
async def session_per_item(engine: AsyncEngine) -> list[str]:
    """One after another, a session each: the loop asks."""
    names = []
    for number in range(1, 9):
        async with AsyncSession(engine) as session:
            customer = await session.get_one(Customer, number)  # ask
            names.append(customer.name)
    return names


@burst("ask")
async def refresh_in_loop(session: AsyncSession) -> list[str]:
    """refresh() after one commit, for each row."""
    products = (await session.scalars(select(Product).order_by(Product.id))).all()
    for product in products:
        product.stock += 1
    await session.commit()
    for product in products:
        await session.refresh(product)  # ask
    return [f"{product.sku}: {product.stock}" for product in products]


@clean
async def refresh_one(session: AsyncSession) -> int:
    """refresh() of what was just written."""
    product = Product(sku="new", name="new", cents=1)
    session.add(product)
    await session.commit()
    await session.refresh(product, ["stock", "images"])
    return product.stock + len(product.images)


@burst("touch")
async def stream_of_lazy(session: AsyncSession) -> list[str]:
    """A stream, and an awaited attribute for each row of it."""
    authors = []
    async for document in await session.stream_scalars(select(Document).order_by(Document.id)):
        author = await document.awaitable_attrs.author  # touch
        authors.append(author.name)
    return authors


@clean
async def stream(session: AsyncSession) -> list[str]:
    """The same stream, joined."""
    query = select(Document).options(joinedload(Document.author)).order_by(Document.id)
    return [row.author.name async for row in await session.stream_scalars(query)]


@clean
async def keyset(session: AsyncSession) -> list[str]:
    """Seven pages."""
    numbers: list[str] = []
    last = 0
    while True:
        query = select(Order).where(Order.id > last).order_by(Order.id).limit(2)
        page = (await session.scalars(query)).all()
        if not page:
            return numbers
        numbers += [order.number for order in page]
        last = page[-1].id


@burst("ask")
async def core_in_loop(engine: AsyncEngine) -> list[int]:
    """Core, on one connection."""
    stock = []
    async with engine.connect() as connection:
        for number in range(1, 8):
            query = select(Product.stock).where(Product.id == number)
            stock.append((await connection.execute(query)).scalar_one())  # ask
    return stock


@write_loop("row")
async def insert_by_row(session: AsyncSession) -> int:
    """A statement for each row."""
    for number in range(12):
        await session.execute(insert(Audit).values(message=f"message {number}"))  # row
    await session.commit()
    return (await session.scalars(select(func.count(Audit.id)))).one()


@clean
async def add_all(session: AsyncSession) -> int:
    """One flush."""
    session.add_all(Audit(message=f"message {number}") for number in range(12))
    await session.commit()
    return (await session.scalars(select(func.count(Audit.id)))).one()


@burst("ask")
async def sync_session_per_item(engine: AsyncEngine) -> list[int]:
    """A connection's run_sync with a Session, for each item."""

    def orders(connection: Any, number: int) -> int:
        with Session(connection) as session:
            return len(session.scalars(select(Order).where(Order.customer_id == number)).all())

    counts = []
    async with engine.connect() as connection:
        for number in range(1, 9):
            counts.append(await connection.run_sync(orders, number))  # ask
    return counts


@burst("gathered")
async def task_for_each(engine: AsyncEngine) -> list[str]:
    """A TaskGroup with a task for each item."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(customer_name(engine, number)) for number in range(1, 7)]
    return [task.result() for task in tasks]


@burst("ask")
async def count_for_each(session: AsyncSession) -> dict[str, int]:
    """A COUNT for each customer, awaited one by one."""
    counts = {}
    for customer in (await session.scalars(select(Customer).order_by(Customer.id))).all():
        query = select(func.count(Order.id)).where(Order.customer_id == customer.id)
        counts[customer.name] = await session.scalar(query) or 0  # ask
    return counts
