"""Read, call, write: no connection is held while others work."""

from __future__ import annotations

from . import images, llm
from .models import DETAILS, Product, Session


def process(product_id: int) -> None:
    """Research one product."""
    with Session() as session:  # read
        product = session.get_one(Product, product_id, options=[DETAILS])
        units = {}
        for detail in product.details:
            units[detail.name] = detail.unit.symbol

    specs = llm.fetch_specs(product.name, units)  # call
    image = images.upload(product.name)

    with Session.begin() as session:  # write
        session.add(product)
        product.image_url = image
        for detail in product.details:
            detail.value = specs[detail.name]
