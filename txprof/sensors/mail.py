"""Mail by SMTP. A message that is sent is one call, and the connection made for it is part of it.

Connecting is a call of its own until a message follows on it: whoever wants errors raised before
anything goes out gets them here. Signing in, TLS and the end of the session go on with the call.
A second message on the same connection is a second call. No address is recorded, only how many.
"""

from __future__ import annotations

import email.utils
from typing import Any

from txprof.sensors.external import Described, ExternalCall, watched, watched_coroutine
from txprof.sensors.going_on import goes_on, goes_on_in_steps
from txprof.sensors.naming import address, argument
from txprof.sensors.placing import Client, Target
from txprof.sensors.streams import forget, keep, kept

_PORT = 25


def _described(host: str) -> Described:
    """smtp mail.example.com:25"""
    return Described("mail", f"smtp {host}", host)


def _message(smtp: Any, host: str | None, recipients: int | None) -> Described | None:
    """smtp mail.example.com:25 (2 recipients)"""
    if host is None:
        return None
    target = f"smtp {host}"
    if recipients is not None:
        target += f" ({recipients} recipient{'s' * (recipients != 1)})"
    return Described("mail", target, host, _connection(smtp))


def _count(recipients: Any) -> int | None:
    if isinstance(recipients, str):
        return 1
    return len(recipients) if hasattr(recipients, "__len__") else None


def _count_in_headers(message: Any) -> int | None:
    prefix = "Resent-" if message.get_all("Resent-Date") else ""
    fields = [
        str(each) for name in ("To", "Cc", "Bcc") for each in message.get_all(prefix + name, ())
    ]
    return len(email.utils.getaddresses(fields))


def _recipients_of_sendmail(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    return _count(argument(args, kwargs, 1, "to_addrs", "recipients"))


def _recipients_of_message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    recipients = argument(args, kwargs, 2, "to_addrs", "recipients")
    if recipients is None:
        return _count_in_headers(argument(args, kwargs, 0, "msg", "message"))
    return _count(recipients)


# --- one call -----------------------------------------------------------------------------------


def _connects(call: ExternalCall, smtp: Any) -> None:
    keep(call, smtp)


def _sends(call: ExternalCall, smtp: Any) -> None:
    connection = None if call.described is None else call.described.follows
    if connection is not None:
        call.take_over(connection)
    # `quit` goes on with a message; but not in a transaction that was opened after it was sent.
    if call.mixes():
        keep(call, smtp)
    else:
        forget(smtp)


def _connection(smtp: Any) -> ExternalCall | None:
    """The call that connected, if no message followed on it yet."""
    call = kept(smtp)
    described = None if call is None else call.described
    return call if described is not None and described == _described(str(described.host)) else None


def _host_kept(smtp: Any) -> str | None:
    call = kept(smtp)
    return None if call is None or call.described is None else call.described.host


# --- smtplib ------------------------------------------------------------------------------------


def _connect(smtp: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    host = argument(args, kwargs, 0, "host")
    port = argument(args, kwargs, 1, "port")
    name, colon, number = str(host or "").partition(":")
    if not port and colon and number.isdigit():  # "mail.example.com:2525"
        host, port = name, number
    return _described(address(host, port or smtp.default_port))


def _connected_to(smtp: Any) -> str | None:
    found = _host_kept(smtp)
    if found is not None or smtp.sock is None:
        return found
    peer = smtp.sock.getpeername()
    if not isinstance(peer, tuple):
        return str(peer)
    name = str(smtp._host or "")  # private: what the constructor was told
    return address(name.partition(":")[0] if name.count(":") == 1 else name or peer[0], peer[1])


def _sendmail(smtp: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    return _message(smtp, _connected_to(smtp), _recipients_of_sendmail(args, kwargs))


def _send_message(smtp: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    return _message(smtp, _connected_to(smtp), _recipients_of_message(args, kwargs))


# --- aiosmtplib ---------------------------------------------------------------------------------


def _connect_async(smtp: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described:
    def given(name: str) -> Any:
        value = kwargs.get(name)
        return value if value is not None else getattr(smtp, name, None)

    if given("socket_path") is not None:
        return _described(str(given("socket_path")))
    start_tls = kwargs.get("start_tls", getattr(smtp, "_start_tls_on_connect", None))
    default = 465 if given("use_tls") else 587 if start_tls else _PORT
    return _described(address(given("hostname"), given("port") or default))


def _connected_to_async(smtp: Any) -> str | None:
    if not smtp.is_connected:
        return None
    return str(smtp.socket_path or address(smtp.hostname, smtp.port))


def _sendmail_async(smtp: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Described | None:
    return _message(smtp, _connected_to_async(smtp), _recipients_of_sendmail(args, kwargs))


def _send_message_async(
    smtp: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Described | None:
    return _message(smtp, _connected_to_async(smtp), _recipients_of_message(args, kwargs))


_SHOWN = "smtp mail.example.com:25 (2 recipients)"

CLIENTS = (
    Client(
        "smtplib",
        "mail",
        _SHOWN,
        (
            Target("smtplib", "SMTP.connect", watched(_connect, started=_connects)),
            Target("smtplib", "LMTP.connect", watched(_connect, started=_connects)),
            Target("smtplib", "SMTP.sendmail", watched(_sendmail, started=_sends)),
            Target("smtplib", "SMTP.send_message", watched(_send_message, started=_sends)),
            Target("smtplib", "SMTP.starttls", goes_on()),
            Target("smtplib", "SMTP.getreply", goes_on()),  # every other command waits there
        ),
    ),
    Client(
        "aiosmtplib",
        "mail",
        _SHOWN,
        (
            Target(
                "aiosmtplib.smtp",
                "SMTP.connect",
                watched_coroutine(_connect_async, started=_connects),
            ),
            Target(
                "aiosmtplib.smtp",
                "SMTP.sendmail",
                watched_coroutine(_sendmail_async, started=_sends),
            ),
            Target(
                "aiosmtplib.smtp",
                "SMTP.send_message",
                watched_coroutine(_send_message_async, started=_sends),
            ),
            Target("aiosmtplib.smtp", "SMTP.execute_command", goes_on_in_steps),
            Target("aiosmtplib.smtp", "SMTP.starttls", goes_on_in_steps),
        ),
    ),
)
