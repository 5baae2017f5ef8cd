"""Joined-table and single-table inheritance, and who reports to whom."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import (
    Session,
    joinedload,
    selectin_polymorphic,
    selectinload,
    with_polymorphic,
)

from corpus.models import (
    CardPayment,
    Document,
    Employee,
    Engineer,
    Manager,
    Order,
    Payment,
    Team,
    TransferPayment,
)
from corpus.program import burst, clean

STAFF = select(Employee).order_by(Employee.id)


def skill(employee: Employee) -> str:
    if isinstance(employee, Engineer):
        return employee.language  # skill_language
    return "people"


@burst("skill_language")
def columns_of_subclasses(session: Session) -> list[str]:
    """The base table was queried; each engineer's own columns come one by one."""
    return [f"{person.name}: {skill(person)}" for person in session.scalars(STAFF).all()]


@clean
def with_all_columns(session: Session) -> list[str]:
    """with_polymorphic joins the tables of the subclasses."""
    person = with_polymorphic(Employee, [Engineer, Manager])
    people = session.scalars(select(person).order_by(person.id)).all()
    return [f"{person.name}: {skill(person)}" for person in people]


@clean
def with_selectin_polymorphic(session: Session) -> list[str]:
    """selectin_polymorphic sends one more SELECT for each subclass."""
    query = STAFF.options(selectin_polymorphic(Employee, [Engineer, Manager]))
    return [f"{person.name}: {skill(person)}" for person in session.scalars(query).all()]


@clean
def the_subclass_itself(session: Session) -> list[str]:
    """A query for engineers has their columns."""
    engineers = session.scalars(select(Engineer).order_by(Engineer.id)).all()
    return [engineer.language for engineer in engineers]


@clean
def three_managers(session: Session) -> int:
    """Three rows read on: fewer than a burst of attributes takes."""
    people = session.scalars(STAFF).all()
    return sum(person.budget for person in people if isinstance(person, Manager))


@burst("touch")
def managers_of_all(session: Session) -> list[str]:
    """Up the hierarchy, one lazy parent at a time."""
    chart = []
    for engineer in session.scalars(select(Engineer).order_by(Engineer.id)).all():
        boss = engineer.manager  # touch
        chart.append(f"{engineer.name} < {boss.name if boss else '-'}")
    return chart


@clean
def managers_in_the_session(session: Session) -> list[str]:
    """All people are loaded: each boss is in the identity map."""
    people = session.scalars(STAFF).all()
    return [f"{person.name} < {person.manager.name}" for person in people if person.manager]


@burst("touch")
def reports_of_all(session: Session) -> dict[str, int]:
    """Down the hierarchy."""
    size = {}
    for manager in session.scalars(select(Manager).order_by(Manager.id)).all():
        size[manager.name] = len(manager.reports)  # touch
    return size


@clean
def reports_selectin(session: Session) -> dict[str, int]:
    """The same, eagerly, two levels deep."""
    wanted = selectinload(Manager.reports).selectinload(Employee.reports)
    query = select(Manager).options(wanted).order_by(Manager.id)
    return {manager.name: len(manager.reports) for manager in session.scalars(query).all()}


@burst("touch")
def team_pages(session: Session) -> dict[str, list[str]]:
    """A collection of a polymorphic class."""
    members = {}
    for team in session.scalars(select(Team).order_by(Team.id)).all():
        names = [member.name for member in team.members]  # touch
        members[team.name] = names
    return members


@clean
def team_page(session: Session) -> list[str]:
    """One team."""
    team = session.scalars(select(Team).where(Team.name == "web")).one()
    return [f"{member.name} of {member.team.name}" for member in team.members if member.team]


@burst("touch")
def polymorphic_parent(session: Session) -> list[str]:
    """Many-to-one to a polymorphic class."""
    authors = []
    for document in session.scalars(select(Document).order_by(Document.id)).all():
        author = document.author  # touch
        authors.append(f"{document.title} by {author.name}")
    return authors


def describe(payment: Payment) -> str:
    if isinstance(payment, CardPayment):
        return f"card {payment.last4}"
    if isinstance(payment, TransferPayment):
        return f"transfer {payment.iban}"
    return "cash"


@burst("touch")
def single_table_columns_and_parent(session: Session) -> list[str]:
    """Single-table subclasses queried by the base: the order of each is lazy."""
    found = []
    query = select(CardPayment).order_by(CardPayment.id)
    for payment in session.scalars(query).all():
        order = payment.order  # touch
        found.append(f"{order.number} by {describe(payment)}")
    return found


@clean
def single_table(session: Session) -> list[str]:
    """All columns of the single table, the orders joined."""
    everything = with_polymorphic(Payment, "*")
    query = select(everything).options(joinedload(everything.order)).order_by(everything.id)
    payments = session.scalars(query).all()
    return [f"{payment.order.number} by {describe(payment)}" for payment in payments]


@burst("touch")
def payments_of_orders(session: Session) -> dict[str, list[str]]:
    """A collection of a single-table hierarchy."""
    found = {}
    for order in session.scalars(
        select(Order).where(Order.id.in_((5, 6))).order_by(Order.id)
    ).all():
        payments = order.payments  # touch
        found[order.number] = [type(payment).__name__ for payment in payments]
    return found
