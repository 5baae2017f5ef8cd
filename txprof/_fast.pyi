from collections.abc import Callable
from typing import Any

from txprof.places import Place, Start

def bind(objects: dict[str, object], /) -> None: ...
def here(start: Start, /) -> Place: ...
def execute(
    original: Callable[..., Any], wrap: Callable[..., None], arguments: int, /, *args: Any
) -> None: ...
