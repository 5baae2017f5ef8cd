"""A module of a user's own, with functions for `txprof.watch`."""

from __future__ import annotations

from collections.abc import Iterator

CONSTANT = 1


def charge(amount: int, currency: str = "EUR", *, retry: bool = False) -> int:
    """Charge."""
    if amount < 0:
        raise ValueError("negative")
    return amount + 1


async def charge_later(amount: int) -> int:
    return amount + 1


def lines(count: int) -> Iterator[int]:
    received = 0
    for number in range(count):
        received = (yield number) or received
    return received


class Client:
    rate = 2

    def charge(self, amount: int) -> int:
        return amount * self.rate

    @classmethod
    def of(cls, amount: int) -> int:
        return amount * cls.rate

    @staticmethod
    def fee(amount: int) -> int:
        return amount * 3
