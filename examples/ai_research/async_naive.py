"""Everything in one transaction: the connection is held while the model is awaited."""

from __future__ import annotations

import asyncio

from . import images, llm
from .models import DETAILS, AsyncSession, Product


async def process(product_id: int) -> None:
    """Research one product."""
    async with AsyncSession.begin() as session:
        product = await session.get_one(
            Product, product_id, options=[DETAILS], with_for_update=True
        )
        units = {}
        for detail in product.details:
            units[detail.name] = detail.unit.symbol

        specs = await llm.fetch_specs_async(product.name, units)
        image = await asyncio.to_thread(images.upload, product.name)

        product.image_url = image
        for detail in product.details:
            detail.value = specs[detail.name]
