"""Say plainly that the interpreter is too old, before pip does it at length."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (older interpreters are what this is for)
    sys.exit(
        "txprof needs Python 3.11 or newer, not "
        + sys.version.split()[0]
        + " ("
        + sys.executable
        + "). Try: make PYTHON=python3.12 ..."
    )
