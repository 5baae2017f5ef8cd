"""What external calls are seen, as a page: made from the tables of txprof/sensors/.

Prints it in markdown. The tests check that docs/sensors.md is what this writes.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txprof.sensors.placing import Client, Target

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "sensors.md"

PREFACE = """\
# External calls that are seen

Made by `python tools/sensors.py --write` from the tables in `txprof/sensors/`. `txprof doctor` says
which of these are installed here, at which version, and whether all of each is watched.

A library is watched from the moment it is imported, before or after txprof, and never imported for
you. One logical call is one external call, named by the outermost of these, however many others it
goes through and however often it retries. Targets carry no user info, query, fragment, header,
body, address of a person or argument. What none of them knows: `txprof.external_call`,
`txprof.watch` (docs/getting-started.md).

| client | kind | a call, as shown | wrapped |
|---|---|---|---|"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)} instead of printing"
    )
    arguments = parser.parse_args()
    if arguments.write:
        unfinished = PAGE.with_suffix(".md.tmp")
        unfinished.write_text(page(), encoding="utf-8")
        unfinished.replace(PAGE)
    else:
        print(page(), end="")
    return 0


def page() -> str:
    """The whole page."""
    sys.path.insert(0, str(ROOT))
    from txprof import sensors

    return "\n".join([PREFACE, *map(row, sensors.clients()), ""])


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
