"""Deferred columns, load_only, expired attributes and refresh()."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session, defer, joinedload, load_only, undefer, undefer_group

from corpus.models import Customer, Document, Product
from corpus.program import burst, clean

DOCUMENTS = select(Document).order_by(Document.id)


def words(document: Document) -> int:
    return len(document.body.split())  # document_body


@burst("document_body")
def body_of_each(session: Session) -> int:
    """A deferred column, read for each row."""
    return sum(words(document) for document in session.scalars(DOCUMENTS).all())


@clean
def body_undeferred(session: Session) -> int:
    """undefer() for those who read it."""
    query = DOCUMENTS.options(undefer(Document.body))
    return sum(words(document) for document in session.scalars(query).all())


@clean
def titles(session: Session) -> list[str]:
    """What deferring is for."""
    return [document.title for document in session.scalars(DOCUMENTS).all()]


@clean
def body_of_one(session: Session) -> int:
    """One document is opened."""
    documents = session.scalars(DOCUMENTS).all()
    return words(documents[2])


@clean
def body_of_four(session: Session) -> int:
    """Four rows: below what counts as a burst of an attribute."""
    return sum(words(document) for document in session.scalars(DOCUMENTS.limit(4)).all())


@burst("touch")
def group_of_each(session: Session) -> list[str]:
    """A deferred group is loaded together, but for each row."""
    texts = []
    for document in session.scalars(DOCUMENTS).all():
        summary = document.summary  # touch
        texts.append(f"{summary} ({document.appendix})")
    return texts


@clean
def group_undeferred(session: Session) -> list[str]:
    """undefer_group()."""
    documents = session.scalars(DOCUMENTS.options(undefer_group("long"))).all()
    return [f"{document.summary} ({document.appendix})" for document in documents]


@burst("touch")
def left_out_by_load_only(session: Session) -> list[str]:
    """A column too few in load_only()."""
    query = select(Product).options(load_only(Product.sku, Product.name)).order_by(Product.id)
    tags = []
    for product in session.scalars(query).all():
        price = product.cents / 100  # touch
        tags.append(f"{product.name} {price:.2f}")
    return tags


@clean
def load_only_enough(session: Session) -> list[str]:
    """All that is read was asked for."""
    query = select(Product).options(load_only(Product.name, Product.cents)).order_by(Product.id)
    return [f"{product.name} {product.cents / 100:.2f}" for product in session.scalars(query)]


@burst("touch")
def read_after_commit(session: Session) -> list[str]:
    """A report about what was just committed reads each row again."""
    products = session.scalars(select(Product).order_by(Product.id)).all()
    for product in products:
        product.stock += 5
    session.commit()
    report = []
    for product in products:
        report.append(f"{product.sku}: {product.stock}")  # touch
    return report


@clean
def report_before_commit(session: Session) -> list[str]:
    """The report first, then the commit."""
    products = session.scalars(select(Product).order_by(Product.id)).all()
    for product in products:
        product.stock += 5
    report = [f"{product.sku}: {product.stock}" for product in products]
    session.commit()
    return report


@clean
def select_after_commit(session: Session) -> list[str]:
    """One SELECT after the commit fills the expired rows again."""
    query = select(Product).order_by(Product.id)
    products = session.scalars(query).all()
    for product in products:
        product.stock += 5
    session.commit()
    session.scalars(query).all()
    return [f"{product.sku}: {product.stock}" for product in products]


@burst("touch")
def read_after_rollback(session: Session) -> list[str]:
    """A rollback expires what was loaded, too."""
    customers = session.scalars(select(Customer).order_by(Customer.id)).all()
    customers[0].name = "x" * 40
    session.flush()
    session.rollback()
    names = []
    for customer in customers:
        names.append(customer.name)  # touch
    return names


@burst("ask")
def refresh_each(session: Session) -> list[int]:
    """refresh() after a bulk UPDATE, row by row."""
    products = session.scalars(select(Product).order_by(Product.id)).all()
    session.execute(update(Product).values(stock=7).execution_options(synchronize_session=False))
    for product in products:
        session.refresh(product)  # ask
    return [product.stock for product in products]


@clean
def refresh_by_select(session: Session) -> list[int]:
    """populate_existing does it in one."""
    query = select(Product).order_by(Product.id)
    products = session.scalars(query).all()
    session.execute(update(Product).values(stock=7).execution_options(synchronize_session=False))
    session.scalars(query.execution_options(populate_existing=True)).all()
    return [product.stock for product in products]


@clean
def refresh_one(session: Session) -> int:
    """refresh() of one row, and of its relationship."""
    product = session.get_one(Product, 1)
    session.refresh(product)
    session.refresh(product, ["tags"])
    return len(product.tags)


@burst("document_body")
def deferred_by_option(session: Session) -> int:
    """Authors are joined, bodies are not."""
    query = DOCUMENTS.options(joinedload(Document.author), defer(Document.title))
    return sum(words(document) for document in session.scalars(query).unique().all())


@clean
def deferred_by_option_unused(session: Session) -> list[str]:
    """Deferred, guarded by raiseload, and left alone."""
    query = DOCUMENTS.options(defer(Document.author_id), defer(Document.body, raiseload=True))
    return [document.title for document in session.scalars(query).all()]
