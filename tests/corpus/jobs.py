"""Background jobs: they loop, commit, lock and poll."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session, joinedload, sessionmaker

from corpus.models import Customer, Order, Product
from corpus.program import burst, clean

OPEN = select(Order).where(Order.status == "open").order_by(Order.id)


class Outbox:
    """Collects letters in place of a mail server."""

    def __init__(self) -> None:
        self.letters: list[str] = []

    def send(self, to: str, subject: str) -> None:
        self.letters.append(f"{to}: {subject}")


@burst("touch")
def remind(session: Session) -> list[str]:
    """A reminder to the customer of each open order."""
    outbox = Outbox()
    for order in session.scalars(OPEN).all():
        outbox.send(order.customer.email, f"Order {order.number} waits")  # touch
    return outbox.letters


@clean
def remind_joined(session: Session) -> list[str]:
    """The same letters from one query."""
    outbox = Outbox()
    for order in session.scalars(OPEN.options(joinedload(Order.customer))).all():
        outbox.send(order.customer.email, f"Order {order.number} waits")
    return outbox.letters


@clean
def remind_from_columns(session: Session) -> list[str]:
    """Only what the letter needs, as a stream."""
    outbox = Outbox()
    query = select(Customer.email, Order.number).join(Order.customer).order_by(Order.id)
    for email, number in session.execute(query).yield_per(5):
        outbox.send(email, f"Order {number} waits")
    return outbox.letters


@burst("ask")
def nightly(engine: Engine) -> int:
    """Ids first, then a session, a query and a commit for each."""
    with Session(engine) as session:
        numbers = session.scalars(select(Product.id).where(Product.cents > 500)).all()
    done = 0
    for number in numbers:
        with Session(engine) as session:
            product = session.get_one(Product, number)  # ask
            product.stock += 1
            session.commit()
            done += 1
    return done


def chunks(values: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


@clean
def nightly_in_chunks(engine: Engine) -> int:
    """The same work: a session for each six of them."""
    done = 0
    for numbers in chunks(range(1, 13), 6):
        with Session(engine) as session, session.begin():
            for product in session.scalars(select(Product).where(Product.id.in_(numbers))):
                product.stock += 1
                done += 1
    return done


@clean
def nightly_in_one_statement(engine: Engine) -> int:
    """The database can count by itself."""
    with sessionmaker(engine).begin() as session:
        session.execute(update(Product).where(Product.cents > 500).values(stock=Product.stock + 1))
    with Session(engine) as session:
        return len(session.scalars(select(Product.id).where(Product.stock == 11)).all())


@burst("ask")
def lock_row_by_row(session: Session) -> list[int]:
    """SELECT ... FOR UPDATE for each row."""
    reserved = []
    for number in range(1, 7):
        query = select(Product).where(Product.id == number).with_for_update(of=Product)
        product = session.scalars(query).one()  # ask
        product.stock -= 1
        reserved.append(product.stock)
    session.commit()
    return reserved


@clean
def lock_at_once(session: Session) -> list[int]:
    """All rows locked by one statement, in one order."""
    query = select(Product).where(Product.id.in_(range(1, 7))).order_by(Product.id)
    reserved = []
    for product in session.scalars(query.with_for_update(of=Product)):
        product.stock -= 1
        reserved.append(product.stock)
    session.commit()
    return reserved


@clean
def take_next(session: Session) -> str | None:
    """A worker takes one job; rows that others hold are skipped."""
    order = session.scalars(OPEN.limit(1).with_for_update(skip_locked=True)).first()
    if order is None:
        return None
    order.status = "taken"
    session.commit()
    return order.number


@burst("touch")
def commit_in_loop(session: Session) -> list[str]:
    """Each commit expires all rows; each turn reads the next one again."""
    orders = session.scalars(OPEN).all()
    closed = []
    for order in orders:
        closed.append(order.number)  # touch
        order.status = "closed"
        session.commit()
    return closed


@clean
def commit_once(session: Session) -> list[str]:
    """The commit belongs after the loop."""
    closed = []
    for order in session.scalars(OPEN).all():
        closed.append(order.number)
        order.status = "closed"
    session.commit()
    return closed


@clean
def commit_without_expiry(engine: Engine) -> list[str]:
    """A commit a row, in a session that keeps what it read."""
    closed = []
    with Session(engine, expire_on_commit=False) as session:
        for order in session.scalars(OPEN).all():
            closed.append(order.number)
            order.status = "closed"
            session.commit()
    return closed


@burst("ask")
def poll(session: Session, tries: int = 8) -> str:
    """Asks again and again whether an order has been paid."""
    status = "open"
    for _ in range(tries):
        query = select(Order.status).where(Order.id == 1)
        status = session.scalars(query).one()  # ask
        if status == "paid":
            break
    return status


@clean
def poll_on_purpose(session: Session, tries: int = 8) -> str:
    """The same, with a reason on the line."""
    status = "open"
    query = select(Order.status).where(Order.id == 1)
    for _ in range(tries):
        status = session.scalar(query)  # txprof: allow[n-plus-one] the bank answers in seconds
        if status == "paid":
            break
    return status


@clean
def drain(session: Session) -> int:
    """Takes what is open, two at a time, until nothing is left."""
    done = 0
    while batch := session.scalars(OPEN.limit(2)).all():
        for order in batch:
            order.status = "closed"
            done += 1
        session.flush()
    return done


@burst("ask")
def check_stock(session: Session) -> list[str]:
    """A loop over what was loaded, with a query in a helper for each."""

    def reserved(product: Product) -> int:
        query = select(Order.id).where(Order.lines.any(product_id=product.id))
        return len(session.scalars(query).all())

    short = []
    for product in session.scalars(select(Product).where(Product.id <= 6)).all():
        if reserved(product) > 2:  # ask
            short.append(product.sku)
    return short


@burst("touch")
def letters_by_generator(session: Session) -> list[str]:
    """The loop is in a generator that the job consumes."""

    def letters() -> Iterator[str]:
        for order in session.scalars(OPEN).all():
            address = order.customer.email  # touch
            yield f"{address}: {order.number}"

    return list(letters())


@contextmanager
def scope(engine: Engine) -> Iterator[Session]:
    """The session_scope() of many a code base."""
    session = Session(engine)
    try:
        yield session
        session.commit()
    finally:
        session.close()


@burst("ask")
def scope_per_item(engine: Engine) -> int:
    """A scope for each item."""
    stock = 0
    for number in range(1, 8):
        with scope(engine) as session:
            product = session.get_one(Product, number)  # ask
            stock += product.stock
    return stock
