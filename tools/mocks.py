"""Which external calls are seen when tests mock them, as a table in markdown.

Each client is really called under each mock, in processes of their own: one in which the sensors
went in before the mock was started, and one in which they came after. What is not installed here
has no line. With --write the table replaces the one in docs/sensors.md; what is not installed here
keeps the line it has there, and is told of.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.util
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pages
from forked import forked
from mocked import MOCKS, Mock
from pages import DOCS, ROOT

PAGE = DOCS / "sensors.md"
START = "<!-- mocks: made by `python tools/mocks.py --write` -->"
END = "<!-- end of mocks -->"
BLOCK = re.compile(r"<!-- mocks: .*?<!-- end of mocks -->", re.DOTALL)
"""The table in its page; what `tools/sensors.py` writes around it leaves it as it is."""

HEADER = """\
| mock | client | sensors first | mock first | as |
|---|---|---|---|---|"""

Rows = dict[tuple[str, str], str]
"""Lines of the table, by mock and client."""

ORDERS = ("sensors first", "mock first")


class Seen(NamedTuple):
    """What txprof saw of one client's call, in each of `ORDERS`."""

    mock: str
    client: str
    targets: tuple[tuple[str, ...], ...]


def main() -> int:
    parser = pages.parser(__doc__, PAGE)
    parser.add_argument("--child", metavar="MOCK", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(seen_under(arguments.child)))
        return 0
    found = rows(run(MOCKS))
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        whole = completed(found, written(page))
        for mock, client in whole.keys() - found.keys():
            print(f"not installed here, and left as it was: {mock}, {client}", file=sys.stderr)
        pages.write(PAGE, BLOCK.sub(lambda _: f"{START}\n{table(whole)}\n{END}", page))
    else:
        print(table(found))
    return 0


def completed(found: Rows, before: Rows) -> Rows:
    """What was found and, of clients that were not called now, the rows of before."""
    every = [(mock, client) for mock, mocked in MOCKS.items() for client in mocked.clients]
    both = before | found
    return {each: both[each] for each in every if each in both}


def written(page: str) -> Rows:
    """The rows of the page's table."""
    block = BLOCK.search(page)
    if block is None:
        raise SystemExit(f"{PAGE.name} lacks {START} and {END}")
    found = {}
    for row in block[0].removeprefix(f"{START}\n{HEADER}\n").splitlines()[:-1]:
        mock, client, _ = row.removeprefix("| ").split(" | ", 2)
        found[mock, client] = row
    return found


def rows(lines: Iterable[Seen]) -> Rows:
    """In markdown."""
    made = {}
    for seen in lines:
        targets = sorted({target for each in seen.targets for target in each})
        shown = ", ".join(f"`{target}`" for target in targets)
        cells = (seen.mock, seen.client, *map(_told, seen.targets), shown)
        row = "".join(f"| {cell} ".replace("  ", " ") for cell in cells) + "|"
        made[seen.mock, seen.client] = row
    return made


def table(rows: Rows) -> str:
    return "\n".join((HEADER, *rows.values()))


def _told(targets: tuple[str, ...]) -> str:
    if len(targets) < 2:
        return "seen" if targets else "not seen"
    return f"seen {len(targets)} times"


def run(names: Iterable[str]) -> list[Seen]:
    """Call each client under each of these mocks, as far as they are installed here."""
    present = [name for name in names if installed(name)]
    with ThreadPoolExecutor(max_workers=2) as children:
        return [seen for found in children.map(_in_child, present) for seen in found]


def installed(name: str) -> list[str]:
    """The clients of a mock that can be called here, and are known to txprof."""
    sys.path.insert(0, str(ROOT))
    from txprof import sensors
    from txprof.doctor import is_installed

    if not all(map(importlib.util.find_spec, MOCKS[name].needs)):
        return []
    known = {client.name for client in sensors.clients() if is_installed(client.targets[0])}
    return [client for client in MOCKS[name].clients if client.partition(" ")[0] in known]


def _in_child(name: str) -> list[Seen]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", name],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"{name}:\n{done.stderr}")
    return [
        Seen(name, client, tuple(map(tuple, targets)))
        for client, targets in json.loads(done.stdout).items()
    ]


def seen_under(name: str) -> dict[str, list[list[str]]]:
    """By client, the targets that are seen in each order. Everything is imported already."""
    warnings.simplefilter("ignore")  # of the libraries
    clients = installed(name)
    for module in (*MOCKS[name].needs, *filter(importlib.util.find_spec, clients)):
        importlib.import_module(module)
    return {
        client: [forked(functools.partial(called, MOCKS[name], client, order)) for order in ORDERS]
        for client in clients
    }


def called(mocked: Mock, client: str, order: str) -> list[str]:
    """The targets of the calls that are seen of one, in this process."""
    import txprof

    with contextlib.ExitStack() as stack:
        if order == ORDERS[0]:
            with txprof.profile():
                pass
        stack.enter_context(mocked.answering())
        with txprof.profile(on_finding="ignore") as profile:
            answer = mocked.clients[client]()
    if answer != "mocked":
        raise AssertionError(f"not the mock's answer: {answer!r}")
    return [row.target for row in profile.recorded.external_calls for _ in range(row.count)]


if __name__ == "__main__":
    sys.exit(main())
