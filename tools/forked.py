"""A function in a process of its own, which has all that is imported here."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any


def forked(function: Callable[[], Any]) -> Any:
    """What a function returns in a fork of this process; it has to be JSON.

    Raises:
        RuntimeError: if it failed there; the traceback is on stderr.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            with os.fdopen(writing, "w", encoding="utf-8") as answers:
                json.dump(function(), answers)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answers:
        answer = answers.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("no answer: see above")
    return json.loads(answer)
