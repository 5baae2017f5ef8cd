"""`txprof show`: one finding in full."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from txprof.commands.recordings import NAMED, found, read
from txprof.commands.values import CommandError
from txprof.settings import COLOR

if TYPE_CHECKING:
    from txprof.found import Finding

_WIDEST = 110


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "show",
        help="show one finding in full",
        description=(
            "Show a finding in full: what happened and why it matters, the call path, who held "
            "what since where, locks, statements, the lines around it. The HTML and JSON reports "
            "have fingerprints; the first digits are enough, and so is the place."
        ),
    )
    parser.add_argument(
        "finding",
        metavar="FINGERPRINT|FILE:LINE",
        help="the finding's fingerprint, or its first 4 digits or more; or where it is",
    )
    parser.add_argument("files", nargs="+", metavar="FILE|DIR|PATTERN", help=NAMED)
    parser.add_argument("--color", choices=COLOR, help="colours")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    from txprof.report import print_lines, terminal_width
    from txprof.report.finding import in_full
    from txprof.settings import current

    profile = read(found(arguments.files))
    findings = _named(arguments.finding, profile.findings)
    color = arguments.color or current().color
    width = min(terminal_width(sys.stdout) or _WIDEST, _WIDEST)
    print_lines(in_full(profile, findings, width), sys.stdout, color)


def _named(name: str, findings: list[Finding]) -> list[Finding]:
    if ":" in name:
        return _at_line(name, findings)
    prefix = name.lower()
    if len(prefix) < 4 or not set(prefix) <= set("0123456789abcdef"):
        raise CommandError(
            f"{name!r} is no fingerprint: it takes 4 or more of the 12 hex digits, or FILE:LINE"
        )
    matching = [each for each in findings if each.fingerprint.startswith(prefix)]
    names = sorted({each.fingerprint for each in matching})
    if len(names) > 1:
        raise CommandError(f"{name!r} is ambiguous: {', '.join(names)}")
    if not names:
        known = sorted({each.fingerprint for each in findings})
        raise CommandError(f"no finding {name!r} in the recording; {_there_are(known)}")
    return matching


def _at_line(name: str, findings: list[Finding]) -> list[Finding]:
    from txprof.report.words import place

    matching = [each for each in findings if f"/{place(each)}".endswith(f"/{name}")]
    if not matching:
        known = sorted({place(each) for each in findings})
        raise CommandError(f"no finding at {name!r} in the recording; {_there_are(known)}")
    return matching


def _there_are(known: list[str]) -> str:
    if not known:
        return "there is none"
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return f"there are {', '.join(known[:10])}{more}"
