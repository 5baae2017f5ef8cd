"""n-plus-one and write-loop: what repeats for want of one query, and what repeats on purpose."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from helpers import assert_burst, assert_clean, assert_flagged, line_of
from shop import (
    CUSTOMERS,
    Category,
    Customer,
    CustomerProfile,
    Employee,
    Engineer,
    Line,
    Manager,
    Order,
    Tag,
)
from sqlalchemy import (
    Engine,
    MetaData,
    func,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import (
    Session,
    contains_eager,
    immediateload,
    joinedload,
    raiseload,
    selectinload,
    subqueryload,
)

import txprof

# Relationships


def test_a_lazy_collection(session: Session) -> None:
    with txprof.profile() as prof:
        for customer in session.scalars(select(Customer)):
            assert len(customer.orders) == 2  # touch
    finding = assert_burst(prof, "Customer.orders", line_of("touch"))
    assert finding.count == finding.details["distinct"] == CUSTOMERS
    assert finding.severity == "error"
    assert finding.message.startswith("Customer.orders loaded 6 times, for 6 parents")
    assert "inside a transaction" in finding.message
    assert finding.hint == "load it with the parents: .options(selectinload(Customer.orders))"
    assert finding.seconds is not None
    assert finding.seconds > 0


class Audited(Session):
    """One of the application's own, through which the ORM's own loads go as well."""

    def execute(self, *args: Any, **options: Any) -> Any:
        return super().execute(*args, **options)


def test_a_lazy_load_through_a_session_of_the_applications_own(session: Session) -> None:
    with Audited(session.get_bind()) as audited, txprof.profile() as prof:
        for customer in audited.scalars(select(Customer)):
            assert len(customer.orders) == 2  # touch
    finding = assert_burst(prof, "Customer.orders", line_of("touch"))
    assert finding.count == CUSTOMERS
    assert {query.count: query.site.line for query in prof.queries if query.site}[CUSTOMERS] == (
        line_of("touch")
    )


def test_a_lazy_scalar(session: Session) -> None:
    with txprof.profile() as prof:
        names = [order.customer.name for order in session.scalars(select(Order))]  # touch
    assert len(names) == 2 * CUSTOMERS
    finding = assert_burst(prof, "Order.customer", line_of("touch"))
    assert finding.count == CUSTOMERS  # the identity map has the others
    assert "joinedload(Order.customer)" in finding.hint


_RELATIONSHIPS: dict[str, tuple[Any, Callable[[Any], object], str]] = {
    "many to many": (Order, lambda order: list(order.tags), "Order.tags"),
    "many to many, backwards": (Tag, lambda tag: list(tag.orders), "Tag.orders"),
    "one to one": (Customer, lambda customer: customer.profile.id, "Customer.profile"),
    "one to one, backwards": (
        CustomerProfile,
        lambda profile: profile.customer.name,
        "CustomerProfile.customer",
    ),
    "self-reference": (Category, lambda category: list(category.children), "Category.children"),
    "joined inheritance": (Engineer, lambda engineer: engineer.customer.name, "Employee.customer"),
    "single inheritance": (Manager, lambda manager: manager.customer.name, "Employee.customer"),
    "polymorphic": (Employee, lambda employee: employee.customer.name, "Employee.customer"),
    "a property": (Customer, lambda customer: customer.first, "Customer.orders"),
    "__str__": (Customer, str, "Customer.orders"),
    "a template": (Customer, lambda customer: f"{customer.orders}", "Customer.orders"),
    "a serializer": (
        Customer,
        lambda customer: {name: getattr(customer, name) for name in ("name", "orders")},
        "Customer.orders",
    ),
}


@pytest.mark.parametrize("kind", _RELATIONSHIPS)
def test_every_kind_of_relationship(session: Session, kind: str) -> None:
    owner, touch, name = _RELATIONSHIPS[kind]
    with txprof.profile() as prof:
        for parent in session.scalars(select(owner)).unique().all():
            touch(parent)
    found = {finding.details["target"] for finding in prof.findings}
    assert name in found


@pytest.mark.parametrize("attribute", ["kept", "written"])
def test_dynamic_and_write_only_collections(session: Session, attribute: str) -> None:
    with txprof.profile() as prof:
        for order in session.scalars(select(Order)):
            lines = getattr(order, attribute)
            found = lines if attribute == "kept" else session.scalars(lines.select())
            assert len(list(found)) == 2  # ask
    finding = assert_flagged(prof, "n-plus-one")
    assert finding.site.line in (line_of("ask") - 1, line_of("ask"))
    assert "one IN query" in finding.hint


def test_both_levels_lazy_are_both_reported(session: Session) -> None:
    with txprof.profile() as prof:
        for customer in session.scalars(select(Customer)):
            for order in customer.orders:
                assert len(order.lines) == 2
    hints = {finding.details["target"]: finding.details["option"] for finding in prof.findings}
    assert hints == {
        "Customer.orders": "selectinload(Customer.orders)",
        "Order.lines": "selectinload(Customer.orders).selectinload(Order.lines)",
    }


def test_where_the_outer_is_eager_the_inner_only(session: Session) -> None:
    with txprof.profile() as prof:
        for customer in session.scalars(select(Customer).options(selectinload(Customer.orders))):
            for order in customer.orders:
                assert len(order.lines) == 2
    finding = assert_burst(prof, "Order.lines")
    assert finding.details["option"] == "selectinload(Customer.orders).selectinload(Order.lines)"


def test_siblings_are_reported_each_on_its_own(session: Session) -> None:
    with txprof.profile() as prof:
        for order in session.scalars(select(Order)):
            assert order.lines
            assert order.tags
    assert {finding.details["target"] for finding in prof.findings} == {"Order.lines", "Order.tags"}


def test_immediateload_is_one_query_per_parent(session: Session) -> None:
    with txprof.profile() as prof:
        session.scalars(select(Customer).options(immediateload(Customer.orders))).all()  # load
    assert_burst(prof, "Customer.orders", line_of("load"))


@pytest.mark.parametrize(
    "option",
    [
        selectinload(Customer.orders).selectinload(Order.lines),
        joinedload(Customer.orders).joinedload(Order.lines),
        subqueryload(Customer.orders).subqueryload(Order.lines),
        raiseload(Customer.orders),
    ],
    ids=["selectinload", "joinedload", "subqueryload", "raiseload"],
)
def test_eager_loaders_are_clean(session: Session, option: Any) -> None:
    with txprof.profile() as prof:
        for customer in session.scalars(select(Customer).options(option)).unique():
            assert customer.name
    assert_clean(prof)


def test_contains_eager_is_clean(session: Session) -> None:
    statement = select(Customer).join(Customer.orders).options(contains_eager(Customer.orders))
    with txprof.profile() as prof:
        for customer in session.scalars(statement).unique():
            assert customer.orders
    assert_clean(prof)


def test_an_eager_loader_in_chunks_is_clean(session: Session) -> None:
    session.execute(insert(Customer), [{"name": f"n{i}", "biography": ""} for i in range(3_000)])
    with txprof.profile() as prof:
        statement = select(Customer).options(selectinload(Customer.orders))
        assert len(session.scalars(statement).all()) > 3_000
    assert_clean(prof)


# What is none


def test_one_parent_is_clean(session: Session) -> None:
    with txprof.profile() as prof:
        customer = session.get(Customer, 1)
        assert customer is not None
        assert customer.orders[0].customer is customer
        assert customer.profile.customer.orders
    assert_clean(prof)


def test_null_foreign_keys_and_one_parent_for_all_are_clean(session: Session) -> None:
    session.execute(update(Order).values(customer_id=None).where(Order.id > 2))
    session.execute(update(Order).values(customer_id=1).where(Order.id <= 2))
    with txprof.profile() as prof:
        for order in session.scalars(select(Order)):
            assert order.customer is None or order.customer.id == 1
    assert_clean(prof)


def test_hits_of_the_identity_map_are_clean(session: Session) -> None:
    customers = session.scalars(select(Customer)).all()
    with txprof.profile() as prof:
        for order in session.scalars(select(Order)):
            assert order.customer in customers
    assert_clean(prof)


# Attributes and plain SELECTs


def test_a_deferred_column_in_a_loop(session: Session) -> None:
    with txprof.profile() as prof:
        assert {c.biography for c in session.scalars(select(Customer))} == {"long"}  # touch
    finding = assert_burst(prof, "Customer.biography", line_of("touch"))
    assert finding.hint == "load it with the rows: .options(undefer(Customer.biography))"


def test_attributes_expired_by_commit(session: Session) -> None:
    customers = session.scalars(select(Customer)).all()
    with txprof.profile() as prof:
        session.commit()
        assert len([customer.name for customer in customers]) == CUSTOMERS  # touch
    finding = assert_burst(prof, "Customer", line_of("touch"))
    assert "expire_on_commit=False" in finding.hint


def refresh(session: Session) -> None:
    for customer in session.scalars(select(Customer)).all():
        session.refresh(customer)


def get(session: Session) -> None:
    for number in range(1, 7):
        session.get(Customer, number)


def core(session: Session) -> None:
    for number in range(6):
        session.execute(select(Line.amount).where(Line.order_id == number)).all()


def literals(session: Session) -> None:
    for number in range(6):
        session.execute(text(f"SELECT amount FROM line WHERE order_id = {number}")).all()


def counts(session: Session) -> None:
    for number in range(6):
        session.scalar(select(func.count()).select_from(Line).where(Line.order_id == number))


def for_update(session: Session) -> None:
    for number in range(6):
        session.scalars(select(Order).where(Order.id == number).with_for_update()).first()


def merge(session: Session) -> None:
    for number in range(1, 7):
        session.merge(Customer(id=number, name=f"c{number - 1}"))


@pytest.mark.parametrize("loop", [refresh, get, core, literals, counts, for_update, merge])
def test_one_query_a_row_is_flagged_at_the_looping_line(
    session: Session, loop: Callable[[Session], None]
) -> None:
    with txprof.profile() as prof:
        loop(session)
    finding = assert_flagged(prof, "n-plus-one")
    assert finding.site.function == loop.__name__
    assert finding.site.line == loop.__code__.co_firstlineno + 2
    assert finding.count == CUSTOMERS


def test_one_session_an_item(shop: Engine) -> None:
    with txprof.profile() as prof:
        for number in range(1, 7):
            with Session(shop) as session:
                assert session.get(Customer, number)  # ask
    assert_flagged(prof, "n-plus-one", line=line_of("ask"))


def test_one_query_a_job_of_a_pool_that_one_line_fills(shop: Engine) -> None:
    def job(number: int) -> str:
        with Session(shop) as session:
            return session.get_one(Customer, number).name  # ask

    with txprof.profile() as prof, ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(job, range(1, 7)))) == CUSTOMERS
    assert_flagged(prof, "n-plus-one", line=line_of("ask"), count=CUSTOMERS)


def test_identical_queries_are_to_be_loaded_once(session: Session) -> None:
    with txprof.profile() as prof:
        for _ in range(8):
            session.execute(select(Customer.name).where(Customer.id == 1)).all()  # ask
    finding = assert_flagged(prof, "n-plus-one", line=line_of("ask"), count=8)
    assert "identical query" in finding.message
    assert finding.hint == "load it once and keep it"


class Repository:
    """All queries go through one line."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, number: int) -> Customer | None:
        return self.session.execute(select(Customer).where(Customer.id == number)).scalar()


def test_a_repositorys_line_is_no_site(session: Session) -> None:
    repository = Repository(session)
    with txprof.profile() as prof:
        for number in range(1, 7):
            repository.get(number)  # loop
        repository.get(1)
    assert_flagged(prof, "n-plus-one", line=line_of("loop"), count=CUSTOMERS)


# What SQLAlchemy asks the catalogue, table by table.


def test_reflection_is_no_burst(shop: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        MetaData().reflect(shop)
        found = inspect(shop)
        for name in found.get_table_names():
            found.get_columns(name)
    assert_clean(prof)
    assert sum(query.count for query in prof.queries) > 5


# Flushes


def test_a_flush_warns_of_the_programs_line(session: Session) -> None:
    with txprof.profile():
        customer = session.get_one(Customer, 1)
        customer.orders.append(Order())
        session.expunge(customer.orders[-1])
        with pytest.warns(SAWarning, match="not in session") as warned:
            session.flush()  # flush
    assert [(one.filename, one.lineno) for one in warned] == [(__file__, line_of("flush"))]
