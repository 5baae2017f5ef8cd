"""Whether the ordinary case of a watched statement runs compiled (`_fast.c`), or why it does not.

The Python code tells what happens; the C code takes a short cut through it, where it was built when
txprof was installed (hatch_build.py). Which of the two runs is decided here and nowhere else, once
for a process. docs/decisions/0006-a-compiled-short-cut.md says why there are two.
"""

from __future__ import annotations

import os
from types import ModuleType

SWITCH = "TXPROF_PURE"
"""The environment variable that, set to anything but "" or 0, leaves the compiled code aside."""

fast: ModuleType | None = None
"""The compiled module, where that runs."""

_FUNCTIONS = ("application", "bind", "execute", "here", "numbers", "passed")
_OTHER = "built from another version of txprof: install it again"

why_not = ""
"""Why plain Python runs instead; "" where it does not."""


def bind(**objects: object) -> bool:
    """Hand over what the compiled code works with. False where plain Python runs."""
    global fast, why_not
    if fast is None:
        return False
    try:
        fast.bind(objects)
    except Exception:  # built from another version of the source
        fast, why_not = None, _OTHER
        return False
    return True


if os.environ.get(SWITCH, "") not in ("", "0"):
    why_not = f"{SWITCH} is set"
else:
    try:
        from txprof import _fast as fast
    except ImportError:
        why_not = "not built: no C compiler, or no headers of Python, when txprof was installed"
    else:
        if not all(hasattr(fast, name) for name in _FUNCTIONS):
            fast, why_not = None, _OTHER
