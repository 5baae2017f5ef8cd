"""What programs do with mail: smtplib and aiosmtplib, and a server that refuses one recipient."""

from __future__ import annotations

import asyncio
import smtplib
from typing import Any

import aiosmtplib
from servers import REFUSED, message
from situations import Situation

_NOWHERE = 1  # a port of loopback where nobody listens


def _send(address: tuple[str, int]) -> Any:
    with smtplib.SMTP(*address, timeout=10) as smtp:
        return smtp.send_message(message(cc="Some One <c@example.com>"))


def _send_two(address: tuple[str, int]) -> Any:
    with smtplib.SMTP(timeout=10) as smtp:
        smtp.connect(f"{address[0]}:{address[1]}")
        smtp.sendmail("a@example.com", "b@example.com", "Hello")
        return smtp.sendmail("a@example.com", ["b@example.com", "c@example.com"], "Hello")


def _send_to(recipient: str) -> Any:
    def send(address: tuple[str, int]) -> Any:
        with smtplib.SMTP(*address, timeout=10) as smtp:
            return smtp.sendmail("a@example.com", recipient, "Hello")

    return send


def _connect_only(address: tuple[str, int]) -> Any:
    with smtplib.SMTP(*address, timeout=10) as smtp:
        return smtp.noop()[0]


def _send_nowhere(address: tuple[str, int]) -> Any:
    return smtplib.SMTP(address[0], _NOWHERE, timeout=10)


def _send_unconnected(address: tuple[str, int]) -> Any:
    return smtplib.SMTP().sendmail("a@example.com", "b@example.com", "Hello")


def _async_send(address: tuple[str, int]) -> Any:
    sent = aiosmtplib.send(
        message(cc="c@example.com"), hostname=address[0], port=address[1], timeout=10
    )
    return asyncio.run(sent)[0]


def _async_send_to(recipient: str) -> Any:
    def send(address: tuple[str, int]) -> Any:
        async def run() -> Any:
            async with aiosmtplib.SMTP(hostname=address[0], port=address[1], timeout=10) as smtp:
                return (await smtp.sendmail("a@example.com", [recipient], "Hello"))[0]

        return asyncio.run(run())

    return send


def _async_send_nowhere(address: tuple[str, int]) -> Any:
    return asyncio.run(aiosmtplib.send(message(), hostname=address[0], port=_NOWHERE, timeout=10))


def _seen(*recipients: int | None) -> Any:
    def seen(address: tuple[str, int]) -> list[tuple[str, str]]:
        at = f"smtp {address[0]}:{address[1]}"
        shown = {None: "", 1: " (1 recipient)", 2: " (2 recipients)"}
        return [("mail", at + shown[number]) for number in recipients]

    return seen


def _nowhere(address: tuple[str, int]) -> list[tuple[str, str]]:
    return [("mail", f"smtp {address[0]}:{_NOWHERE}")]


def _nothing(_address: tuple[str, int]) -> list[tuple[str, str]]:
    return []


_SITUATIONS = (
    ("smtplib", "sends to two", _send, _seen(2)),
    ("smtplib", "sends twice on one connection", _send_two, _seen(1, 2)),
    ("smtplib", "error reply", _send_to(REFUSED), _seen(1)),
    ("smtplib", "asks whether the server is there", _connect_only, _seen(None)),
    ("smtplib", "refused", _send_nowhere, _nowhere),
    ("smtplib", "not connected", _send_unconnected, _nothing),
    ("aiosmtplib", "sends to two", _async_send, _seen(2)),
    ("aiosmtplib", "sends", _async_send_to("b@example.com"), _seen(1)),
    ("aiosmtplib", "error reply", _async_send_to(REFUSED), _seen(1)),
    ("aiosmtplib", "refused", _async_send_nowhere, _nowhere),
)

SITUATIONS = [
    Situation(client, name, "smtp_server", call, seen) for client, name, call, seen in _SITUATIONS
]
