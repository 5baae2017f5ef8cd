"""The HTML report: one harmless file, for hands and keys, for small and for dark screens."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import poison
import pytest
import rich_recording
from browser import CHROMIUM, Page, page

from txprof.report import timeline
from txprof.results import Profile

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Parsed(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.within: dict[str, str] = {}
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.within[self._inside] = self.within.get(self._inside, "") + data
        else:
            self.text += data

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def html() -> str:
    return rich_recording.profile().render("html")


@pytest.fixture(scope="module")
def poisoned() -> str:
    return poison.profile().render("html")


# --- as a document --------------------------------------------------------------------------------


def test_it_asks_nothing_of_any_network(html: str) -> None:
    parsed = Parsed(html)
    assert parsed.attributes("src") == []
    assert all(link.startswith("#") for link in parsed.attributes("href"))
    assert "url(" not in parsed.within["style"]
    assert "@import" not in parsed.within["style"]


def test_its_policy_names_its_own_script_and_style_by_hash(html: str) -> None:
    parsed = Parsed(html)
    (policy,) = (
        attributes["content"]
        for tag, attributes in parsed.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(parsed.within[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_every_link_leads_to_an_element_and_ids_are_unique(html: str) -> None:
    parsed = Parsed(html)
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in parsed.attributes("href")} <= set(ids)


def test_it_shows_what_the_text_report_shows(html: str) -> None:
    text = Parsed(html).text
    profile = rich_recording.profile()
    for finding in profile.findings:
        assert finding.message in text
        assert finding.hint.replace("`", "") in text
        assert finding.fingerprint in text
    assert "text = llm.fetch_specs(product.name)" in text
    assert "seen from its second call on" in text


def test_code_in_a_hint_is_set_as_code() -> None:
    from txprof.report.html import _parts

    assert _parts("leave the `with` block") == [
        (False, "leave the "),
        (True, "with"),
        (False, " block"),
    ]
    assert _parts("a ` alone") == [(False, "a ` alone")]


@pytest.mark.parametrize("text", poison.CORPUS)
def test_what_the_program_said_stays_text(text: str) -> None:
    recorded = poison.poisoned(rich_recording.recorded(), text)
    plain = Parsed(rich_recording.profile().render("html"))
    parsed = Parsed(Profile.of(recorded).render("html"))
    assert parsed.tags() <= plain.tags()
    assert len(parsed.attributes("tabindex")) <= len(plain.attributes("tabindex"))
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert names <= {name for _, attributes in plain.elements for name in attributes}
    assert all(link.startswith("#") for link in parsed.attributes("href"))
    assert parsed.within == plain.within
    shown = parsed.text.replace("\r\n", "\n")
    assert text in shown or " ".join(text.split()) in " ".join(shown.split())


@pytest.mark.parametrize("text", poison.CORPUS)
def test_so_it_does_in_a_notebook(text: str) -> None:
    plain = Parsed(rich_recording.profile()._repr_html_())
    recorded = poison.poisoned(rich_recording.recorded(), text)
    parsed = Parsed(Profile.of(recorded)._repr_html_())
    assert parsed.tags() <= plain.tags()
    assert not any(name.startswith("on") for _, each in parsed.elements for name in each)
    assert "script" not in parsed.tags()
    assert text in parsed.text


def test_a_notebook_shows_findings_lines_and_pools() -> None:
    fragment = rich_recording.profile()._repr_html_()
    assert fragment.startswith('<div class="txprof">')
    assert fragment.endswith("</div>")
    text = Parsed(fragment).text
    assert "5 errors, 5 warnings, 1 note" in text
    assert "▲ io-in-transaction" in text
    assert "peak busy 5" in text


# --- the timeline's data --------------------------------------------------------------------------


def test_a_lane_is_a_connection_and_its_bars_lie_within_the_group() -> None:
    (group,) = timeline.groups(rich_recording.profile().exemplars)
    assert [lane.title.partition(" ·")[0] for lane in group.lanes] == [
        "connection 1",
        "connection 2",
    ]
    for bar in (bar for lane in group.lanes for bar in lane.bars):
        assert 0 <= bar.x <= 100
        assert bar.x + bar.width <= 100.2, bar
    kinds = [bar.kind for bar in group.lanes[1].bars]
    assert kinds == ["k-wait", "k-hold", "k-tx", "k-sql", "k-ext", "k-ok", "k-sql", "k-bad"]


def test_transactions_far_apart_have_axes_of_their_own() -> None:
    recorded = rich_recording.recorded()
    recorded.exemplars[2].started_at += 3_600
    seconds = [group.seconds for group in timeline.groups(Profile.of(recorded).exemplars)]
    assert len(seconds) == 2
    assert max(seconds) < 4


def test_calls_at_the_same_time_lie_below_each_other() -> None:
    recorded = rich_recording.recorded()
    one = recorded.exemplars[0]
    one.external_calls = [(0.1, 1.0, 1, "http", 1, None), (0.2, 0.9, 1, "http", 1, None)]
    group = timeline.groups(Profile.of(recorded).exemplars)[0]
    rows = [bar.y for bar in group.lanes[0].bars if bar.kind == "k-ext"]
    assert rows[0] != rows[1]


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with page(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def shown(tab: Page, html: str, tmp_path: Path) -> Page:
    """The rich recording's page, freshly loaded."""
    return opened(tab, html, tmp_path)


def opened(tab: Page, html: str, folder: Path) -> Page:
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    tab.resize(1200)
    tab.prefer("light")
    tab.logged.clear()
    tab.opened.clear()
    tab.goto(path)
    return tab


def visible(tab: Page) -> list[str]:
    """The rules of the findings that are shown, in order."""
    rules: list[str] = tab.run(
        "[...document.querySelectorAll('.finding:not([hidden])')].map(e => e.dataset.rule)"
    )
    return rules


def choose(tab: Page, control: str, value: str) -> None:
    tab.run(
        f"(e => (e.value = {value!r}, e.dispatchEvent(new Event('change'))))"
        f"(document.getElementById({control!r}))"
    )


@needs_chromium
def test_nothing_of_the_corpus_runs(tab: Page, poisoned: str, tmp_path: Path) -> None:
    opened(tab, poisoned, tmp_path)
    tab.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    tab.run(
        "document.querySelectorAll('svg.lane rect').forEach(e => "
        "(e.dispatchEvent(new Event('pointerover', {bubbles: true})), e.focus()))"
    )
    assert tab.opened == []
    assert tab.logged == []
    assert tab.run("[document.scripts.length, document.images.length, frames.length]") == [1, 0, 0]
    assert tab.run("document.title").endswith(" · txprof")


@needs_chromium
def test_its_policy_lets_no_other_script_run(shown: Page) -> None:
    shown.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        "document.body.append(s); const d = document.createElement('p');"
        "d.setAttribute('onclick', 'window.ran = 2'); document.body.append(d); d.click(); })()"
    )
    assert shown.run("window.ran === undefined")
    assert any("Content Security Policy" in line for line in shown.logged)


@needs_chromium
def test_findings_are_filtered_and_counted(shown: Page) -> None:
    assert len(visible(shown)) == 11
    choose(shown, "rule", "io-in-transaction")
    assert visible(shown) == ["io-in-transaction"] * 2
    assert shown.run("document.getElementById('shown').textContent") == "2 of 11 findings shown"
    choose(shown, "severity", "warning")
    assert visible(shown) == []
    shown.run(
        "new Promise(done => { document.querySelector('#filters button').click();"
        "setTimeout(done, 0) })"
    )
    assert len(visible(shown)) == 11


@needs_chromium
def test_findings_are_found_by_what_they_say(shown: Page) -> None:
    shown.run(
        "new Promise(done => { const e = document.getElementById('text'); e.value = 'S3 images';"
        "new MutationObserver(done).observe(document.getElementById('shown'), {childList: true});"
        "e.dispatchEvent(new Event('input')) })"
    )
    assert shown.run("document.getElementById('shown').textContent") == "1 of 11 findings shown"


@needs_chromium
def test_findings_are_sorted(shown: Page) -> None:
    choose(shown, "sort", "seconds")
    seconds = shown.run("[...document.querySelectorAll('.finding')].map(e => +e.dataset.seconds)")
    assert seconds == sorted(seconds, reverse=True)
    choose(shown, "sort", "place")
    places = shown.run("[...document.querySelectorAll('.finding')].map(e => e.dataset.place)")
    assert places == sorted(places)


@needs_chromium
def test_a_finding_links_to_its_line_and_the_line_to_it(shown: Page) -> None:
    shown.run("document.querySelectorAll('details').forEach(e => e.open = false)")
    shown.run(
        "new Promise(done => { addEventListener('hashchange', () => setTimeout(done));"
        "document.querySelector('.finding .where a').click() })"
    )
    row = "document.querySelector('tr:target')"
    assert "llm.fetch_specs" in shown.run(f"{row}.textContent")
    assert shown.run(f"{row}.closest('details').open")
    choose(shown, "rule", "pool-wait")
    shown.run(
        "new Promise(done => { addEventListener('hashchange', () => setTimeout(done));"
        f"{row}.nextElementSibling.querySelector('a').click() }})"
    )
    assert shown.run("document.querySelector('.finding:target').hidden") is False


@needs_chromium
def test_the_timeline_is_read_with_the_pointer(shown: Page) -> None:
    shown.hover("svg.lane .k-ext")
    assert "http POST https://api.example.com/v1/chat" in readout(shown)
    assert "research.py:9 process" in readout(shown)


@needs_chromium
def test_the_timeline_is_read_with_the_keyboard(shown: Page) -> None:
    shown.run("document.querySelector('svg.lane rect').focus()")
    assert readout(shown).startswith("waited 300 ms for the pool")
    shown.press("ArrowRight")
    shown.press("ArrowRight")
    assert readout(shown).startswith("connection held")
    shown.press("End")
    assert "failed: SELECT unit.symbol" in readout(shown)
    assert shown.run("document.querySelectorAll('svg.lane rect[tabindex=\"0\"]').length") == 2
    shown.press("Tab")
    assert shown.run("document.activeElement.closest('svg') !== null")


def readout(tab: Page) -> str:
    text: str = tab.run("document.getElementById('readout').textContent")
    return text


@needs_chromium
def test_it_fits_a_phone(shown: Page) -> None:
    shown.resize(360)
    assert shown.run("document.documentElement.scrollWidth") <= 360


@needs_chromium
def test_it_is_dark_where_that_is_preferred(shown: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = shown.run(background)
    shown.prefer("dark")
    dark = shown.run(background)
    brightness = [sum(map(int, re.findall(r"\d+", color))) for color in (light, dark)]
    assert brightness[0] > 700
    assert brightness[1] < 100


@needs_chromium
def test_without_its_script_everything_is_there(tab: Page, html: str, tmp_path: Path) -> None:
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        opened(tab, html, tmp_path)
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)
    assert len(visible(tab)) == 11
    assert tab.run("document.getElementById('filters').hidden")


@needs_chromium
@pytest.mark.skipif(
    importlib.util.find_spec("axe_core_python") is None, reason="axe-core-python is not installed"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(shown: Page, scheme: str) -> None:
    spec = importlib.util.find_spec("axe_core_python")
    assert spec is not None
    assert spec.origin is not None
    axe = next(Path(spec.origin).parent.rglob("axe.min.js")).read_text(encoding="utf-8")
    shown.prefer(scheme)
    shown.run(f"{axe};0")
    found = shown.run(
        "axe.run().then(r => r.violations.map(v => [v.id, v.impact, v.nodes[0].html]))"
    )
    assert found == []
