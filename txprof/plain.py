"""What the dataclasses of ours share, so that Python need not compile it for each of them.

`dataclasses` compiles the methods of every class as that is defined: half a millisecond a class,
which the start of each test suite waits for (benchmarks/plugin.py). With `repr=False, eq=False`,
and one of these as their base, it is little more than their `__init__`; with `init=False`, for what
is made seldom, not even that.
"""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any, ClassVar


class Plain:  # noqa: PLW1641 (what changes has no hash)
    """Looks like its fields, and equals what is of its class and has the same."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init__(self, *values: Any, **named: Any) -> None:
        fields = self.__dataclass_fields__
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__}() takes at most {len(fields)} values")
        given = {**dict(zip(fields, values, strict=False)), **named}
        for name, field in fields.items():
            value = given.pop(name, field.default)
            if value is MISSING:
                if field.default_factory is MISSING:
                    raise TypeError(f"{type(self).__name__}() misses {name!r}")
                value = field.default_factory()
            setattr(self, name, value)
        if given:
            raise TypeError(f"{type(self).__name__}() has no {min(given)!r}")

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
