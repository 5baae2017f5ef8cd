"""Everything in one transaction: the connection is held while the model thinks."""

from __future__ import annotations

from . import images, llm
from .models import Product, Session


def process(product_id: int) -> None:
    """Research one product."""
    with Session.begin() as session:
        product = session.get_one(Product, product_id, with_for_update=True)
        units = {}
        for detail in product.details:
            units[detail.name] = detail.unit.symbol

        specs = llm.fetch_specs(product.name, units)
        image = images.upload(product.name)

        product.image_url = image
        for detail in product.details:
            detail.value = specs[detail.name]
