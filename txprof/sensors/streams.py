"""What is left of a call after it returned: the objects that the rest of it is read from.

The call hangs on them; `txprof.sensors.going_on` goes on with it where they are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from txprof.safety import name_of, note_once

if TYPE_CHECKING:
    from txprof.sensors.external import ExternalCall

Streams = Callable[[Any], Any]
"""result -> the objects that the rest of it will be read from, after the call returned."""

_GOES_ON = "_txprof_call"

_get: Any = object.__getattribute__
_set: Any = object.__setattr__


def keep(call: ExternalCall, *streams: Any) -> None:
    """What is asked of these from now on is part of the call."""
    for stream in streams:
        try:
            if hasattr(type(stream), "__getattr__"):
                _own(stream)[_GOES_ON] = call
            else:
                _set(stream, _GOES_ON, call)
        except Exception:  # it takes no attributes, or a mock is in its place
            continue


def forget(stream: Any) -> None:
    """What is asked of it from now on is no part of an earlier call."""
    if kept(stream) is not None:
        _own(stream).pop(_GOES_ON, None)


def kept(stream: Any) -> ExternalCall | None:
    """The call that `keep` gave to an object."""
    # Whoever asks an object for its `__dict__` makes it one, and slower from then on: 3 us for each
    # response (benchmarks/calls.py). But what answers for another object has no call of that.
    try:
        kind = type(stream)
        if kind.__getattribute__ is not _get or hasattr(kind, "__getattr__"):
            found = _own(stream).get(_GOES_ON)
        else:
            found = getattr(stream, _GOES_ON, None)
    except Exception:
        return None
    return found


def _own(stream: Any) -> dict[str, Any]:
    """What an object has of its own; nothing, if a mock is in its place."""
    attributes = stream.__dict__
    return attributes if type(attributes) is dict else {}


def keep_all(call: ExternalCall, streams: Streams, result: Any) -> None:
    try:
        keep(call, *streams(result))
    except Exception as error:
        note_once(f"the streams by {name_of(streams)}", error)
