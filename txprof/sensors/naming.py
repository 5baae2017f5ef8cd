"""What the descriptions of calls share: arguments of the wrapped function, and addresses."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_PORTS = {
    "amqp": 5672,
    "pyamqp": 5672,
    "amqps": 5671,
    "redis": 6379,
    "rediss": 6379,
    "nats": 4222,
    "tls": 4222,  # a way to say it of NATS
}


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int, *names: str) -> Any:
    """The argument at that position, or under the first of the names; None if it is not given."""
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), None)


def address(host: Any, port: Any) -> str:
    """mail.example.com:25, [::1]:25; a Unix socket's path"""
    name = str(host or "localhost")
    if name.startswith("/"):
        return name
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def address_of_url(url: Any) -> str | None:
    """The address in a URL, without user and password; None if it has none."""
    try:
        parts = urlsplit(str(url))
        port = parts.port or default_port(parts.scheme)
    except ValueError:  # not a URL, or one that only its library understands
        return None
    return address(parts.hostname, port) if parts.hostname and port else None


def default_port(scheme: Any) -> int | None:
    """The port of a broker whose URL has that scheme and no port."""
    return _PORTS.get(str(scheme))
