"""What Python imports when it starts, before anything of the program, under `txprof run`.

It may be another Python than txprof's that starts: any version has to be able to read this file.
"""

import os
import sys


def _chain() -> None:
    """Import the `sitecustomize` that this one stands before, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [each for each in sys.path if os.path.abspath(each or ".") != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        if own is not None:
            sys.modules.setdefault("sitecustomize", own)


def _start() -> None:
    try:
        from txprof.programs.process import start
    except (ImportError, SyntaxError):
        return  # a Python that has no txprof
    start()


try:
    _chain()
finally:
    _start()
