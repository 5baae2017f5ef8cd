"""What external calls are seen, as a page: made from the tables of txprof/sensors/.

Prints it in markdown. The tests check that docs/sensors.md is what this writes.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pages
from mocks import BLOCK, PAGE
from pages import ROOT

if TYPE_CHECKING:
    from txprof.sensors.placing import Client, Target


PREFACE = """\
# External calls that are seen

Made by `python tools/sensors.py --write` from the tables in `txprof/sensors/`. `txprof doctor` says
which of these are installed here, at which version, and whether all of each is watched.

A library is watched from the moment it is imported, before or after txprof, and never imported for
you. One logical call is one external call, named by the outermost of these, however many others it
goes through and however often it retries. Targets carry no user info, query, fragment, header,
body, address of a person or argument. What none of them knows: `txprof.external_call`,
`txprof.watch` (docs/getting-started.md), or the setting `sockets`.
"""

TABLE = """\
| client | kind | a call, as shown | wrapped |
|---|---|---|---|"""

MOCKED = """\

## Under mocks

Tests mock most of these. A call is seen as long as the mock sits beneath the function that is
wrapped, whichever came first. A mock above it, as in the last line, hides the call from everyone:
what a mocked suite proves ends there, and one run of the real thing proves the rest.
"""

BESIDE = """\

## Beside other tools

OpenTelemetry's instrumentations, sentry-sdk, ddtrace and the mocks above wrap the same functions.
Whoever comes first, each sees a call once, and the program gets what it gets without any of them
(tests/external/test_beside_peers.py, test_http_mocks.py). What to know:

- Where another tool has wrapped a function by wrapt, txprof's wrap goes beneath it; else on top.
- `txprof.uninstall()` puts the very originals back, also from beneath wraps by wrapt. Beneath a
  wrap of another kind that came later, txprof's stays, asleep, until that is gone and
  `uninstall()` is called again.
- A tool that wraps by hand and is switched off while txprof's wrap is on top takes that off instead
  of its own (OpenTelemetry's requests and urllib do). It goes on seeing calls, and txprof's
  comes back with the next profile. Call `txprof.uninstall()` before, to have both off.

## When a library has changed

A function that is not there any more is not watched; `txprof doctor` names it. A description of a
call that fails leaves that call to the layers beneath; after three failures in a row it is asked no
more until `txprof.uninstall()`. Either is noted once, at debug level, by the logger `txprof`. The
program does not notice."""

SOCKETS = """
## With `sockets = true`

What clients that are not listed above send over sockets, of Python's own (a driver in C has none).
An exchange is one call: connecting and what follows, or the first that is sent after an answer,
until more is sent. Left out are connections of SQLAlchemy's pools (but for an `async_creator` of
your own), of clients that are listed, and those that were accepted or made before the sensors went
in. Without the setting nothing of this is wrapped.
"""


def main() -> int:
    if pages.parser(__doc__, PAGE).parse_args().write:
        pages.write(PAGE, page())
    else:
        print(page(), end="")
    return 0


def page() -> str:
    """The whole page."""
    sys.path.insert(0, str(ROOT))
    from txprof.sensors import clients, sockets

    listed = [PREFACE, TABLE, *map(row, clients())]
    listed += [SOCKETS, TABLE, *map(row, sockets.CLIENTS)]
    return "\n".join([*listed, MOCKED, _mocks(), BESIDE, ""])


def _mocks() -> str:
    """The table of mocks as it is: making it takes a while."""
    found = BLOCK.search(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else None
    return found[0] if found is not None else "<!-- mocks: -->\n<!-- end of mocks -->"


def row(client: Client) -> str:
    """One client's line of the table."""
    wrapped = ", ".join(f"`{name}`" for name in names(client.targets))
    if client.unseen:
        wrapped += f"; not {', '.join(f'`{name}`' for name in client.unseen)}, which are compiled"
    return f"| {client.name} | {client.kind} | `{client.shown}` | {wrapped} |"


def names(targets: tuple[Target, ...]) -> Iterator[str]:
    """What is wrapped of each class or module: `httpx:Response.{iter_raw,aiter_raw}`."""
    owners: dict[str, list[str]] = defaultdict(list)
    for target in targets:
        *classes, name = target.attribute.split(".")
        owners[":".join([target.module, *classes])].append(name)
    for owner, attributes in owners.items():
        listed = attributes[0] if len(attributes) == 1 else f"{{{','.join(attributes)}}}"
        yield f"{owner}{'.' if ':' in owner else ':'}{listed}"


if __name__ == "__main__":
    sys.exit(main())
