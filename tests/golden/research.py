"""The program of the rich recording (`rich_recording.py`). Nothing runs it: its lines are shown."""

from __future__ import annotations


def process(product_id):
    with Session.begin() as session:
        product = session.get(Product, product_id, with_for_update=True)
        text = llm.fetch_specs(product.name)

        specs = parse_specs(text)
        s3.upload(product.image)
        for detail in product.details:
            print(detail.unit.symbol)
            session.execute(update(Detail), {"name": "Größe 漢字"})
    return len(specs)


class Researcher:
    def exec(self):
        connection = self.engine.connect()
        with self.engine.connect() as other:
            cache.get("products")
            other.execute(select(Product))
        return connection
