"""How many connections a managed database allows by default, by its instance class."""

from __future__ import annotations

import re

AURORA_MYSQL_SOURCE = (
    "docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Managing.Performance.html, "
    "2026-11"
)
RDS_SOURCE = "docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html, 2026-11"

_BY_SIZE = {
    "large": 1000,
    "xlarge": 2000,
    "2xlarge": 3000,
    "4xlarge": 4000,
    "8xlarge": 5000,
    "12xlarge": 6000,
    "16xlarge": 6000,
    "24xlarge": 7000,
}

AURORA_MYSQL = {
    "t2.small": 45,
    "t2.medium": 90,
    "t3.small": 45,
    "t3.medium": 90,
    "t3.large": 135,
    "t4g.medium": 90,
    "t4g.large": 135,
    **{
        f"r3.{size}": _BY_SIZE[size]
        for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge")
    },
    **{
        f"r4.{size}": _BY_SIZE[size]
        for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
    },
    **{f"r5.{size}": limit for size, limit in _BY_SIZE.items()},
    **{f"r6g.{size}": limit for size, limit in _BY_SIZE.items() if size != "24xlarge"},
}
"""The documented table: the default formula gives no round numbers, the table has them."""

_GIB_PER_SIZE = {"micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}
_T = dict.fromkeys(("t2", "t3", "t4g"), _GIB_PER_SIZE)
_XLARGES = {
    "large": 0.5,
    "xlarge": 1,
    "2xlarge": 2,
    "4xlarge": 4,
    "8xlarge": 8,
    "12xlarge": 12,
    "16xlarge": 16,
    "24xlarge": 24,
}
_PER_XLARGE = {"m": 16.0, "r": 32.0}
"""GiB of memory of an xlarge: four virtual CPUs of 4 GiB (m) or 8 GiB (r) each."""

_FAMILIES = {"m5", "m5d", "m6g", "m6i", "m7g", "m7i", "m8g"} | {
    "r5",
    "r5b",
    "r5d",
    "r6g",
    "r6i",
    "r7g",
    "r7i",
    "r8g",
}

_DIVISORS = {
    "mysql": (12_582_880, None),
    "mariadb": (12_582_880, None),
    "postgresql": (9_531_392, 5000),
    "aurora-postgresql": (9_531_392, 5000),
}
"""Bytes of memory a connection, and the most there are: the default parameter groups'
`{DBInstanceClassMemory/12582880}` and `LEAST({DBInstanceClassMemory/9531392}, 5000)`."""

ENGINES = ("aurora-mysql", *_DIVISORS)


def default_max_connections(instance_class: str, engine: str) -> tuple[int, str]:
    """The default of `max_connections`, and where that is documented.

    Where it depends on memory, the class's nominal memory is taken; the service keeps a part of it
    for itself, so that the real number is somewhat smaller.

    Raises:
        ValueError: for a class or an engine that is not known.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown database engine {engine!r}; known are {', '.join(ENGINES)}")
    name = instance_class.strip().lower().removeprefix("db.")
    if engine == "aurora-mysql":
        if name in AURORA_MYSQL:
            return AURORA_MYSQL[name], AURORA_MYSQL_SOURCE
        known = ", ".join(f"db.{one}" for one in AURORA_MYSQL)
        raise ValueError(
            f"unknown instance class {instance_class!r} of {engine}; known are {known}: "
            "give the number itself instead"
        )
    divisor, most = _DIVISORS[engine]
    found = int(_gib(name, instance_class) * 2**30 / divisor)
    return (found if most is None else min(found, most)), RDS_SOURCE


def _gib(name: str, instance_class: str) -> float:
    match = re.fullmatch(r"(\w+)\.(\w+)", name)
    family, size = match.groups() if match else ("", "")
    if size in _T.get(family, {}):
        return _T[family][size]
    if family in _FAMILIES and size in _XLARGES:
        return _PER_XLARGE[family[0]] * _XLARGES[size]
    families = ", ".join(sorted({*_T, *_FAMILIES}))
    raise ValueError(
        f"unknown instance class {instance_class!r}; known are the sizes of {families}, as in "
        "db.r6g.2xlarge: give the number itself instead"
    )
