"""Whether a driver commits each statement. Asked at each BEGIN, so it must not ask the server."""

from __future__ import annotations

import sys
from typing import Any


def is_autocommit(dialect: Any, dbapi_connection: Any) -> bool:
    """Whether the driver commits each statement: SQLAlchemy calls do_begin all the same."""
    if _is_mock(dbapi_connection):
        return False  # it would answer anything, and remember that it was asked
    if dialect.driver == "mysqlconnector":
        # Its `autocommit` sends a SELECT; this is what it was set to last. Private.
        return getattr(dbapi_connection, "_autocommit", False) is True
    try:
        return bool(dialect.detect_autocommit_setting(dbapi_connection))
    except (AttributeError, NotImplementedError):  # before 2.0.43, or a dialect that cannot tell
        if "sqlite" in dialect.name:
            return getattr(dbapi_connection, "isolation_level", "") is None
        return getattr(dbapi_connection, "autocommit", False) is True


def _is_mock(found: Any) -> bool:
    mock = sys.modules.get("unittest.mock")
    return mock is not None and issubclass(type(found), mock.NonCallableMock)
