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


def keep(call: ExternalCall, *streams: Any) -> None:
    """What is asked of these from now on is part of the call."""
    for stream in streams:
        attributes = _attributes(stream)
        if attributes is not None:
            attributes[_GOES_ON] = call


def forget(stream: Any) -> None:
    """What is asked of it from now on is no part of an earlier call."""
    attributes = _attributes(stream)
    if attributes is not None:
        attributes.pop(_GOES_ON, None)


def kept(stream: Any) -> ExternalCall | None:
    """The call that `keep` gave to an object."""
    attributes = _attributes(stream)
    return None if attributes is None else attributes.get(_GOES_ON)


def _attributes(stream: Any) -> dict[str, Any] | None:
    """What an object has of its own; None if that is nothing, or a mock is in its place."""
    try:
        attributes = stream.__dict__
    except Exception:
        return None
    return attributes if type(attributes) is dict else None


def keep_all(call: ExternalCall, streams: Streams, result: Any) -> None:
    try:
        keep(call, *streams(result))
    except Exception as error:
        note_once(f"the streams by {name_of(streams)}", error)
