"""Markdown fit for a comment on a pull request: a table of findings, the lines folded away.

GitHub takes 65,536 characters: what does not fit is counted, never cut in the middle.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from txprof.report.listing import Listings
from txprof.report.words import (
    NOT_JUDGED,
    cost,
    counted,
    headline,
    place,
    pool_parts,
    rest,
    tally,
    what,
)

if TYPE_CHECKING:
    from txprof.found import Finding
    from txprof.results import Profile

MARKER = "<!-- txprof report -->"
"""The first line, by which a bot finds its comment again to update it."""

LIMIT = 60_000
_TABLE_SHARE = 0.6
"""Of the limit: the rest is for the annotated lines."""

_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$&<>@#]|://|www\.|:(?=[\w+-]+:)")
_ENTITIES = "&<>@#:`"
"""What is written as an entity: also what makes HTML, mentions, references, emoji and links."""

_CODE = re.compile(r"`([^`]+)`")


def render(profile: Profile, *, limit: int = LIMIT) -> str:
    """The report; at most so many characters."""
    findings = profile.findings
    judged = profile.recorded.watched
    parts = [
        f"{MARKER}\n### txprof: {tally(findings) if judged else NOT_JUDGED}\n",
        f"**{escaped(profile.name)}** · {' · '.join(headline(profile, profile.functions))}\n",
    ]
    if findings:
        parts.append(_table(findings, int(limit * _TABLE_SHARE)))
    for pool in profile.pools:
        parts.append(f"Pool {code(pool.engine)}: {', '.join(pool_parts(pool))}\n")
    room = limit - sum(map(len, parts)) - 200
    parts += _listings(profile, room)
    return "\n".join(parts)


def _table(findings: list[Finding], room: int) -> str:
    rows = ["| severity | rule | where | what | cost |", "|---|---|---|---|---|"]
    for number, finding in enumerate(findings):
        row = (
            f"| {_severity(finding)} | {code(finding.rule)} "
            f"| {code(place(finding))} {escaped(finding.site.function)} "
            f"| {escaped(what(finding) + rest(finding))}<br>→ {prose(finding.hint)} "
            f"| {cost(finding)} |"
        )
        room -= len(row) + 1
        if room < 0:
            left = counted(len(findings) - number, "more finding")
            return "\n".join(rows) + f"\n\nand {left}, in the full report.\n"
        rows.append(row)
    return "\n".join(rows) + "\n"


def _severity(finding: Finding) -> str:
    return "**error**" if finding.severity == "error" else finding.severity


def _listings(profile: Profile, room: int) -> Iterator[str]:
    """The annotated lines of functions with findings; of all, if there are none anywhere."""
    from txprof.report.text import annotated

    listings = list(Listings(profile))
    marked = [each for each in listings if any(line.findings for line in each.lines)]
    shown = marked or listings
    for number, listing in enumerate(shown):
        block = fenced(annotated(profile, listing))
        title = html.escape(" ".join(listing.function.site.function.split()))
        text = f"<details><summary>Lines of {title}</summary>\n\n{block}\n</details>\n"
        room -= len(text)
        if room < 0:
            left = counted(len(shown) - number, "more function")
            yield f"The lines of {left} are in the full report.\n"
            return
        yield text


def escaped(text: str) -> str:
    """A text that stays text: no markup, no HTML, no link, no mention of somebody, on one line."""
    edge = text[:1].isspace(), text[-1:].isspace()
    line = _SPECIAL.sub(_plain, " ".join(text.split()))
    return " " * edge[0] + line + " " * (edge[1] and bool(line))


def _plain(match: re.Match[str]) -> str:
    special = match[0]
    if special == "www.":
        return "www&#46;"
    letter = special[0]
    entity = letter in _ENTITIES
    return (f"&#{ord(letter)};" if entity else f"\\{letter}") + special[1:]


def prose(text: str) -> str:
    """The same, with what stands in backticks as code."""
    parts = _CODE.split(text)
    return "".join([code(part) if index % 2 else escaped(part) for index, part in enumerate(parts)])


def code(text: str) -> str:
    """A code span, whatever is in it; also fit for a cell of a table."""
    line = " ".join(text.split()).replace("|", "¦")
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(text: str) -> str:
    """A block of code, whatever is in it."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
