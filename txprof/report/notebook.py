"""A profile as a notebook shows it: a small fragment, without a script and without a style sheet.

Notebooks strip scripts, keep inline styles, and bring their own colours, light or dark: only what
means something is coloured, in hues that both can bear.
"""

from __future__ import annotations

from html import escape
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

_FINDINGS = 20
_FUNCTIONS = 3
_COLORS = {"error": "#d9534f", "warning": "#b7791f", "info": "#17899b"}
_CELL = "text-align:left;vertical-align:top"


def fragment(profile: Profile) -> str:
    """HTML of one `<div>`: the headline, the first findings, the lines of the slowest functions."""
    from txprof.report.text import annotated

    findings = profile.findings
    parts = " · ".join(headline(profile, profile.functions))
    told = tally(findings) if profile.recorded.watched else NOT_JUDGED
    html = [
        '<div class="txprof">',
        f"<p><b>txprof</b> {escape(profile.name)} · {escape(parts)}</p>",
        f"<p><b>{escape(told)}</b></p>",
    ]
    if findings:
        html.append("<table><thead><tr>")
        html += [
            f'<th scope="col" style="{_CELL}">{name}</th>'
            for name in ("severity", "rule", "where", "what")
        ]
        html.append("</tr></thead><tbody>")
        html += [_row(finding) for finding in findings[:_FINDINGS]]
        html.append("</tbody></table>")
    if len(findings) > _FINDINGS:
        html.append(f"<p>and {counted(len(findings) - _FINDINGS, 'more finding')}</p>")
    for number, listing in enumerate(Listings(profile)):
        if number == _FUNCTIONS:
            break
        name = escape(listing.function.site.function)
        lines = escape(annotated(profile, listing))
        html.append(
            f"<details{' open' if number == 0 else ''}><summary>lines of <code>{name}</code>"
            f'</summary><pre style="overflow-x:auto;line-height:1.3">{lines}</pre></details>'
        )
    html += [
        f"<p>pool {escape(pool.engine)}: {escape(', '.join(pool_parts(pool)))}</p>"
        for pool in profile.pools
    ]
    return "".join([*html, "</div>"])


def _row(finding: Finding) -> str:
    color = _COLORS[finding.severity]
    cells = [
        f'<b style="color:{color}">{finding.severity}</b>',
        f"<code>{escape(finding.rule)}</code>",
        f"<code>{escape(place(finding))}</code> {escape(finding.site.function)}",
        f"{escape(what(finding))} {escape(cost(finding))}{escape(rest(finding))}"
        f"<br>→ {escape(finding.hint)}",
    ]
    return "<tr>" + "".join([f'<td style="{_CELL}">{cell}</td>' for cell in cells]) + "</tr>"
