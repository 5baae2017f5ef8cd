"""What the dataclasses of ours share, so that Python need not compile it for each of them.

`dataclasses` compiles the methods of every class as that is defined: half a millisecond a class,
which the start of each test suite waits for (benchmarks/plugin.py). With `repr=False, eq=False`,
and one of these as their base, it is little more than their `__init__`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Plain:  # noqa: PLW1641 (what changes has no hash)
    """Looks like its fields, and equals what is of its class and has the same."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
        return f"{type(self).__qualname__}({', '.join(values)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(
            getattr(self, name) == getattr(other, name) for name in self.__dataclass_fields__
        )


class Frozen(Plain):
    """Does not change, and has the hash of its fields."""

    __slots__ = ()

    def __hash__(self) -> int:
        fields = self.__dataclass_fields__.values()
        return hash(tuple(getattr(self, each.name) for each in fields if each.hash is not False))
