"""Read, call, write: no connection is held while others are awaited."""

from __future__ import annotations

import asyncio

from . import images, llm
from .models import DETAILS, AsyncSession, Product


async def process(product_id: int) -> None:
    """Research one product."""
    async with AsyncSession() as session:  # read
        product = await session.get_one(Product, product_id, options=[DETAILS])
        units = {}
        for detail in product.details:
            units[detail.name] = detail.unit.symbol

    specs = await llm.fetch_specs_async(product.name, units)  # call
    image = await asyncio.to_thread(images.upload, product.name)

    async with AsyncSession.begin() as session:  # write
        session.add(product)
        product.image_url = image
        for detail in product.details:
            detail.value = specs[detail.name]
