"""What a situation comes to, said where it is defined: agreeing with itself is not enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Call = Callable[[Any], Any]


def returning(expected: Any, call: Call) -> Call:
    """The call, which fails the test if it returns anything else."""

    def run(server: Any) -> Any:
        try:
            result = call(server)
        except Exception as error:
            pytest.fail(f"raised {error!r}, did not return {expected!r}")
        if result != expected:
            pytest.fail(f"returned {result!r}, not {expected!r}")
        return result

    return run


def raising(expected: type[BaseException], call: Call, says: str = "") -> Call:
    """The call, which fails the test if it raises nothing, or anything else."""

    def run(server: Any) -> Any:
        try:
            result = call(server)
        except Exception as error:
            if not isinstance(error, expected) or says not in str(error):
                pytest.fail(f"raised {error!r}, not {expected.__name__} that says {says!r}")
            raise
        return pytest.fail(f"returned {result!r}, did not raise {expected.__name__}")

    return run
