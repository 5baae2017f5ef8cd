"""Field resolvers, as GraphQL servers call them, and trees."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased, joinedload

from corpus.models import Category, Customer, Order, Product
from corpus.program import burst, clean

Resolver = Callable[[Any], Any]
Selection = dict[str, Any]


class Schema:
    """Resolves a selection of fields, by resolver where there is one."""

    def __init__(self) -> None:
        self.resolvers: dict[str, Resolver] = {}

    def field(self, name: str) -> Callable[[Resolver], Resolver]:
        def register(resolver: Resolver) -> Resolver:
            self.resolvers[name] = resolver
            return resolver

        return register

    def resolve(self, value: Any, selection: Selection) -> Any:
        if isinstance(value, list):
            return [self.resolve(item, selection) for item in value]
        if value is None or not selection:
            return value
        return {
            name: self.resolve(self.of(value, name), inner) for name, inner in selection.items()
        }

    def of(self, value: Any, name: str) -> Any:
        resolver = self.resolvers.get(f"{type(value).__name__}.{name}")
        return resolver(value) if resolver else getattr(value, name)


schema = Schema()


@schema.field("Order.buyer")
def resolve_buyer(order: Order) -> Customer:
    return order.customer  # resolve_buyer


@schema.field("Customer.orders")
def resolve_orders(customer: Customer) -> list[Order]:
    return list(customer.orders)  # resolve_orders


@burst("resolve_buyer")
def orders_and_buyers(session: Session) -> Any:
    """{ orders { number buyer { name } } }"""
    orders = list(session.scalars(select(Order).order_by(Order.id)))
    return schema.resolve(orders, {"number": {}, "buyer": {"name": {}}})


@clean
def orders_and_buyers_joined(session: Session) -> Any:
    """The same fields, the query knows the selection."""
    query = select(Order).options(joinedload(Order.customer)).order_by(Order.id)
    return schema.resolve(list(session.scalars(query)), {"number": {}, "buyer": {"name": {}}})


@burst("resolve_orders")
def customers_and_orders(session: Session) -> Any:
    """{ customers { name orders { number } } }"""
    customers = list(session.scalars(select(Customer).order_by(Customer.id)))
    return schema.resolve(customers, {"name": {}, "orders": {"number": {}}})


@clean
def one_customer(session: Session) -> Any:
    """{ customer(id: 2) { name orders { number } } }"""
    customer = session.get_one(Customer, 2)
    return schema.resolve(customer, {"name": {}, "orders": {"number": {}}})


@clean
def fields_not_selected(session: Session) -> Any:
    """{ orders { number status } }: no resolver runs."""
    orders = list(session.scalars(select(Order).order_by(Order.id)))
    return schema.resolve(orders, {"number": {}, "status": {}})


class DataLoader:
    """Collects keys, asks once."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def orders_by_customer(self, keys: list[int]) -> dict[int, list[str]]:
        found = defaultdict(list)
        query = select(Order).where(Order.customer_id.in_(keys)).order_by(Order.id)
        for order in self.session.scalars(query):
            found[order.customer_id].append(order.number)
        return found


@clean
def batched(session: Session) -> dict[str, list[str]]:
    """A data loader between the resolvers and the database."""
    customers = session.scalars(select(Customer).order_by(Customer.id)).all()
    orders = DataLoader(session).orders_by_customer([customer.id for customer in customers])
    return {customer.name: orders[customer.id] for customer in customers}


@burst("ask")
def loader_of_one(session: Session) -> dict[str, list[str]]:
    """A data loader that is asked for one key at a time."""
    loader = DataLoader(session)
    found = {}
    for customer in session.scalars(select(Customer).order_by(Customer.id)).all():
        found[customer.name] = loader.orders_by_customer([customer.id])[customer.id]  # ask
    return found


def outline(category: Category, depth: int = 0) -> list[str]:
    found = ["  " * depth + category.name]
    for child in category.children:  # children
        found += outline(child, depth + 1)
    return found


@burst("children")
def category_tree(session: Session) -> list[str]:
    """A tree walked by recursion."""
    root = session.scalars(select(Category).where(Category.parent_id.is_(None))).one()
    return outline(root)


@clean
def category_tree_at_once(session: Session) -> list[tuple[str, int]]:
    """A recursive common table expression."""
    tree = (
        select(Category.id, Category.name).where(Category.parent_id.is_(None)).cte(recursive=True)
    )
    child = aliased(Category)
    tree = tree.union_all(select(child.id, child.name).join(tree, child.parent_id == tree.c.id))
    return [(name, number) for number, name in session.execute(select(tree).order_by(tree.c.id))]


@clean
def category_tree_in_memory(session: Session) -> dict[str, list[str]]:
    """All rows in one query, the tree by a dict."""
    children = defaultdict(list)
    names = {}
    for category in session.scalars(select(Category).order_by(Category.id)):
        names[category.id] = category.name
        children[category.parent_id].append(category.name)
    return {name: children[number] for number, name in names.items()}


@burst("touch")
def parents(session: Session) -> list[str]:
    """Self-reference upwards, of leaves with different parents."""
    query = select(Category).where(Category.id >= 4).order_by(Category.id)
    paths = []
    for category in session.scalars(query).all():
        parent = category.parent  # touch
        paths.append(f"{parent.name} > {category.name}" if parent else category.name)
    return paths


@burst("touch")
def product_shelves(session: Session) -> list[str]:
    """Resolved by map()."""

    def shelf(product: Product) -> str | None:
        return product.category and product.category.name  # touch

    products = session.scalars(select(Product).order_by(Product.id)).all()
    return [name for name in map(shelf, products) if name]
