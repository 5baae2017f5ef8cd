"""What commands share: values on the command line, and the error that a user is told."""

from __future__ import annotations

import argparse


class CommandError(Exception):
    """What the user is told in one line; exit status 2."""


def positive(text: str) -> int:
    return _at_least(1, text)


def not_negative(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, not {text!r}")
    return number
