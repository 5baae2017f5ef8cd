"""Who may have a request profiled, and what is asked for."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

logger = logging.getLogger("txprof")

_SHORTEST = 16
"""Characters of a secret."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, as `permit` is asked about it."""

    method: str
    path: str
    query: str
    """As it was sent: percent-encoded, without the `?`."""
    headers: Mapping[str, str]
    """By their names in lower case."""
    client: str | None
    """The address of whoever is connected: a proxy's, where there is one."""
    raw: Any = field(repr=False)
    """The WSGI environ or the ASGI scope, with what the server and outer middleware know."""


Permit = Callable[[Request], Any]


class Guard:
    """Says which requests may ask, and what they ask for."""

    def __init__(
        self, *, permit: Permit | None, secret: str | None, parameter: str, header: str
    ) -> None:
        if permit is None and secret is None:
            raise ValueError(
                "enabled=True needs permit= or secret=: say who may have requests profiled"
            )
        if permit is not None and not callable(permit):
            raise TypeError(f"permit must be a function of a request, not {permit!r}")
        if secret is not None and not isinstance(secret, str):
            raise TypeError(f"secret must be a string, not {type(secret).__name__}")
        if secret is not None and len(secret) < _SHORTEST:
            raise ValueError(f"secret must have {_SHORTEST} characters or more")
        for name, text in (("parameter", parameter), ("header", header)):
            if not isinstance(text, str):
                raise TypeError(f"{name} must be a string, not {text!r}")
            if not text.replace("-", "").replace("_", "").isalnum() or not text.isascii():
                raise ValueError(f"{name} must be of letters, digits, - and _, not {text!r}")
        self._permit = permit
        self._secret = None if secret is None else secret.encode()
        self._parameter = parameter
        self.header = header.lower()
        self.environ_name = f"HTTP_{header.replace('-', '_').upper()}"
        """The header's name under WSGI."""
        self._secret_header = f"{self.header}-secret"
        self._failed = False

    def may_ask(self, query: str, header: str | None) -> bool:
        """Whether a request looks like asking. Runs for every request."""
        return header is not None or self._parameter in query

    def patterns(self, request: Request) -> list[str]:
        """What a request asks for; [] if nothing."""
        asked = [request.headers.get(self.header, "")]
        try:
            asked += parse_qs(request.query, max_num_fields=1_000).get(self._parameter, [])
        except ValueError:  # more fields than anybody writes by hand
            pass
        return [part for text in asked for each in text.split(",") if (part := each.strip())]

    def knows(self, request: Request) -> bool:
        """Whether the request carries the secret."""
        given = request.headers.get(self._secret_header)
        if self._secret is None or given is None:
            return False
        # Servers pass the bytes of a header as one character each.
        return hmac.compare_digest(given.encode("latin-1", "replace"), self._secret)

    def permits(self, request: Request) -> Any:
        """What `permit` says; perhaps something to await. An error of its own is a no."""
        if self._permit is None:
            return False
        try:
            return self._permit(request)
        except Exception as error:
            self.failed(error)
            return False

    def failed(self, error: Exception) -> None:
        """`permit` gave no answer: say so, once."""
        if not self._failed:
            self._failed = True
            logger.warning("txprof: %r, given as permit, failed", self._permit, exc_info=error)
