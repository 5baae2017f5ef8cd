"""Thread pools and threads: each job has a session of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, selectinload, sessionmaker

from corpus.models import Customer, Line, Order, Product, Tag
from corpus.program import burst, clean


@burst("job")
def pool_map(engine: Engine) -> list[str]:
    """One query for each job of a pool."""

    def name(number: int) -> str:
        with Session(engine) as session:
            return session.get_one(Product, number).name  # job

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(name, range(1, 13)))


@clean
def pool_map_of_chunks(engine: Engine) -> list[str]:
    """Three jobs, an IN list each."""

    def names(numbers: Sequence[int]) -> list[str]:
        with Session(engine) as session:
            query = select(Product.name).where(Product.id.in_(numbers)).order_by(Product.id)
            return list(session.scalars(query))

    with ThreadPoolExecutor(3) as pool:
        parts = pool.map(names, [range(1, 5), range(5, 9), range(9, 13)])
        return [name for part in parts for name in part]


class Worker:
    """A worker of a batch, with a session factory."""

    def __init__(self, engine: Engine) -> None:
        self.sessions = sessionmaker(engine)

    def balance(self, number: int) -> int:
        with self.sessions() as session:
            query = select(func.count(Order.id)).where(Order.customer_id == number)
            return session.scalars(query).one()  # worker_balance


@burst("worker_balance")
def pool_submit(engine: Engine) -> int:
    """The same with submit(), and a method."""
    worker = Worker(engine)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(worker.balance, number) for number in range(1, 9)]
        return sum(future.result() for future in as_completed(futures))


@clean
def pool_of_sections(engine: Engine) -> list[int]:
    """A dashboard's sections in parallel: different queries."""

    def count(model: Any) -> int:
        with Session(engine) as session:
            return session.scalars(select(func.count(model.id))).one()

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(count, (Customer, Order, Product, Tag, Line)))


@clean
def compute_in_threads(engine: Engine) -> list[int]:
    """Loaded with care in one thread, computed in others."""
    with Session(engine) as session:
        query = select(Order).options(selectinload(Order.lines)).order_by(Order.id)
        orders = session.scalars(query).all()
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda order: order.total, orders))


@burst("get", "lines", "product")
def detail_in_each_job(engine: Engine) -> list[str]:
    """Jobs that walk from an order to its products."""

    def detail(number: int) -> str:
        with Session(engine) as session:
            order = session.get_one(Order, number)  # get
            lines = order.lines  # lines
            names = [line.product.name for line in lines]  # product
            return f"{order.number}: {', '.join(names)}"

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(detail, range(1, 7)))


@burst("job")
def thread_per_item(engine: Engine) -> list[str]:
    """A thread for each item, by hand."""
    names: dict[int, str] = {}

    def load(number: int) -> None:
        with engine.connect() as connection:
            query = select(Customer.name).where(Customer.id == number)
            names[number] = connection.execute(query).scalar_one()  # job

    threads = [threading.Thread(target=load, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [names[number] for number in sorted(names)]


@clean
def two_threads(engine: Engine) -> dict[str, int]:
    """A reader and a counter beside each other."""
    found: dict[str, int] = {}

    def count_orders() -> None:
        with engine.connect() as connection:
            found["orders"] = connection.execute(select(func.count(Order.id))).scalar_one()

    def count_lines() -> None:
        with engine.connect() as connection:
            found["lines"] = connection.execute(select(func.count(Line.id))).scalar_one()

    threads = [threading.Thread(target=job) for job in (count_orders, count_lines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return dict(sorted(found.items()))


@burst("job")
def to_thread_per_item(engine: Engine) -> list[str]:
    """Synchronous sessions behind asyncio.to_thread."""

    def name(number: int) -> str:
        with Session(engine) as session:
            return session.get_one(Customer, number).name  # job

    async def main() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(name, n) for n in range(1, 9)))

    return asyncio.run(main())


@clean
def four_jobs(engine: Engine) -> list[str]:
    """Four jobs: below what counts as a burst of a SELECT."""

    def name(number: int) -> str:
        with Session(engine) as session:
            return session.get_one(Customer, number).name

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(name, range(1, 5)))
