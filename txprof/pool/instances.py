"""How many connections a managed database allows by default, by its instance class."""

from __future__ import annotations

import re

AURORA_MYSQL_SOURCE = (
    'AWS, "Managing performance and scaling for Amazon Aurora MySQL", '
    "docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Managing.Performance.html, "
    "2026-11"
)
AURORA_POSTGRESQL_SOURCE = (
    'AWS, "Managing Amazon Aurora PostgreSQL", '
    "docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Managing.html, 2026-11"
)
RDS_SOURCE = (
    'AWS, "Quotas and constraints for Amazon RDS", '
    "docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html, 2026-11"
)

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
"""The documented table. The default formula is of the memory that Aurora leaves to the database,
`GREATEST({log(DBInstanceClassMemory/805306368)*45},{log(DBInstanceClassMemory/8187281408)*1000})`
with logarithms of base 2: 1,000 more when the memory doubles."""

AURORA_POSTGRESQL = {
    "t3.medium": 420,
    "r4.large": 1600,
    "r4.xlarge": 3200,
    "r5.large": 1600,
    "r5.xlarge": 3300,
    **{f"r4.{size}": 5000 for size in ("2xlarge", "4xlarge", "8xlarge", "16xlarge")},
    **{f"r5.{size}": 5000 for size in ("2xlarge", "4xlarge", "12xlarge", "24xlarge")},
}
"""The documented table."""

_AURORA_GB = 10**9
"""Bytes: so AWS's example reckons, LEAST((15.25*1000000000)/9531392,5000) = 1600 of db.r4.large.

With 2 ** 30 it would be 1,718, a class that is documented as 1,600: Aurora keeps memory for itself.
"""

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

    Aurora's documented tables come first. Where it depends on memory, the class's nominal memory is
    taken; the service keeps a part of it for itself, so that the real number is somewhat smaller.

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
    aurora = engine == "aurora-postgresql"
    source = AURORA_POSTGRESQL_SOURCE if aurora else RDS_SOURCE
    if aurora and name in AURORA_POSTGRESQL:
        return AURORA_POSTGRESQL[name], source
    divisor, most = _DIVISORS[engine]
    found = int(_gib(name, instance_class) * (_AURORA_GB if aurora else 2**30) / divisor)
    return (found if most is None else min(found, most)), source


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
