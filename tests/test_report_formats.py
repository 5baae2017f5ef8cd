"""The formats of `txprof report`: golden outputs of one rich recording, and what each promises."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import poison
import pytest
import rich_recording
from rich_recording import GOLDEN, golden, recorded

from txprof.model import RULES, Site
from txprof.recorded import CallRow, Recorded
from txprof.report import FORMATS, markdown
from txprof.report.rulebook import RULEBOOK
from txprof.results import Profile
from txprof.settings import Settings, project_root

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE / "data" / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))


@pytest.fixture
def profile() -> Profile:
    return rich_recording.profile()


def calling(*targets: str, file: str | None = None, function: str = "process") -> Profile:
    """A profile of calls to these targets inside a transaction, at line 9 and on."""
    file = file or str(project_root() / "app" / "jobs.py")
    calls = [
        CallRow(
            (Site(file, 9 + number, function),),
            "http",
            target,
            "transaction",
            "sqlite://",
            (Site(file, 8, function),),
            count=1,
            seconds=0.5,
        )
        for number, target in enumerate(targets)
    ]
    return Profile.of(Recorded(["job"], 0.0, 1.0, calls=1, external_calls=calls), Settings())


@pytest.mark.parametrize("format", GOLDEN)
def test_the_rich_recording_looks_as_it_did(format: str) -> None:
    expected = (HERE / "golden" / GOLDEN[format]).read_text(encoding="utf-8")
    assert golden(format) == expected, "if that is meant: python tests/rich_recording.py"


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_renders_a_run_in_which_nothing_happened(format: str) -> None:
    text = Profile.of(Recorded(["idle"], None, None), Settings()).render(format)
    assert text.endswith("\n") or (format == "github" and text == "")


# --- json ---------------------------------------------------------------------------------------


def test_json_is_versioned_and_tells_what_to_dict_tells(profile: Profile) -> None:
    document = json.loads(profile.render("json"))
    assert (document["format"], document["version"]) == ("txprof-report", 1)
    assert document.keys() >= profile.to_dict().keys()
    assert document["summary"]["findings"] == len(profile.findings) == 11
    assert document["summary"]["by_severity"] == {"error": 5, "warning": 5, "info": 1}


def test_json_names_files_from_the_project_root(profile: Profile) -> None:
    document = json.loads(profile.render("json"))
    assert document["findings"][0]["site"]["file"] == "tests/golden/research.py"
    assert str(project_root()) not in profile.render("json")


# --- sarif --------------------------------------------------------------------------------------


def sarif(profile: Profile) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(profile.render("sarif"))
    checker = jsonschema.FormatChecker()
    jsonschema.Draft4Validator(SCHEMA, format_checker=checker).validate(log)
    return log


def test_sarif_validates_with_and_without_findings(profile: Profile) -> None:
    assert len(sarif(profile)["runs"][0]["results"]) == 11
    assert sarif(calling())["runs"][0]["results"] == []


def test_sarif_names_a_place_outside_the_project_absolutely() -> None:
    log = sarif(calling("GET http://x/", file="/srv/a b.py"))
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "file:///srv/a%20b.py"}


def test_sarif_fingerprints_stay_when_lines_move() -> None:
    def prints(recorded: Recorded) -> list[str]:
        results = sarif(Profile.of(recorded, Settings()))["runs"][0]["results"]
        return [result["partialFingerprints"]["txprofFingerprint/v1"] for result in results]

    moved = recorded()
    moved.external_calls = [
        replace(
            row,
            path=tuple(site._replace(line=site.line + 7) for site in row.path),
            opened=tuple(site._replace(line=site.line + 7) for site in row.opened),
        )
        for row in moved.external_calls
    ]
    assert sorted(prints(moved)) == sorted(prints(recorded()))


def test_sarif_tells_apart_two_lines_of_one_fingerprint() -> None:
    results = sarif(calling("GET http://x/", "GET http://x/"))["runs"][0]["results"]
    prints = [result["partialFingerprints"] for result in results]
    assert prints[0]["txprofFingerprint/v1"] == prints[1]["txprofFingerprint/v1"]
    assert len({each["primaryLocationLineHash"] for each in prints}) == 2


def test_sarif_has_help_for_every_rule(profile: Profile) -> None:
    rows = sarif(profile)["runs"][0]["tool"]["driver"]["rules"]
    assert [row["id"] for row in rows] == list(RULES)
    assert all(row["help"]["text"] and row["help"]["markdown"] for row in rows)


def test_the_rulebook_has_every_rule_and_no_other() -> None:
    assert set(RULEBOOK) == set(RULES)
    assert all(all(entry) for entry in RULEBOOK.values())


# --- markdown -----------------------------------------------------------------------------------


def test_markdown_keeps_to_what_a_comment_may_have() -> None:
    profile = calling(*(f"GET http://x/{'path' * 20}/{n}" for n in range(500)))
    text = profile.render("markdown")
    assert len(text) <= markdown.LIMIT < 65_536
    assert re.search(r"and \d+ more findings, in the full report", text)
    assert text.count("\n| **error** |") + int(re.findall(r"and (\d+) more", text)[0]) == 500


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("<script>alert(1)</script>", "&#60;script&#62;alert(1)&#60;/script&#62;"),
        ("a | b", "a \\| b"),
        ("*bold* _it_ ~no~", "\\*bold\\* \\_it\\_ \\~no\\~"),
        ("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))"),
        ("@somebody see #12", "&#64;somebody see &#35;12"),
        ("two\nlines", "two lines"),
        ("`code`", "&#96;code&#96;"),
        ("https://evil.example www.evil.example", "https&#58;//evil.example www&#46;evil.example"),
        (":tada:", "&#58;tada:"),
        ("&lt;", "&#38;lt;"),
    ],
)
def test_markdown_text_stays_text(text: str, safe: str) -> None:
    assert markdown.escaped(text) == safe


def test_markdown_code_spans_hold_backticks_and_bars() -> None:
    assert markdown.code("a ` b") == "``a ` b``"
    assert markdown.code("`a`") == "`` `a` ``"
    assert "|" not in markdown.code("a|b")
    assert markdown.fenced("x ``` y").startswith("````text\n")


def test_markdown_shows_what_stands_in_backticks_as_code() -> None:
    assert markdown.prose("leave `with a_b()` and *go*") == "leave `with a_b()` and \\*go\\*"


# --- github -------------------------------------------------------------------------------------


def test_github_escapes_what_would_end_a_command_or_start_another() -> None:
    file = str(project_root() / "a,b:c%.py")
    profile = calling("GET http://x/\n::set-output name=x::100%", file=file)
    (line,) = profile.render("github").splitlines()
    assert line.startswith("::error file=a%2Cb%3Ac%25.py,line=9,title=")
    assert "%0A::set-output name=x::100%25" in line


# --- junit --------------------------------------------------------------------------------------


def test_junit_fails_for_errors_and_warnings_and_counts_right(profile: Profile) -> None:
    root = ElementTree.fromstring(profile.render("junit").encode())
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == list(RULES)
    assert (root.get("tests"), root.get("failures")) == ("11", "10")
    assert suites["write-loop"].find("testcase/system-out") is not None
    assert suites["write-loop"].find("testcase/failure") is None
    for suite in root:
        assert suite.get("tests") == str(len(suite.findall("testcase")))
        assert suite.get("failures") == str(len(suite.findall("testcase/failure")))


def test_junit_of_a_clean_run_has_a_passing_test_a_rule() -> None:
    root = ElementTree.fromstring(calling().render("junit").encode())
    assert len(root.findall("testsuite/testcase")) == len(RULES)
    assert root.findall(".//failure") == []


def test_junit_is_xml_whatever_a_target_has_in_it() -> None:
    profile = calling("GET \x00\x1b[31m]]>&<>\ud800\uffff")
    text = profile.render("junit")
    message = ElementTree.fromstring(text.encode()).find(".//failure")
    assert message is not None
    assert "�[31m]]>&<>" in (message.get("message") or "")


# --- what the program said, in each of them -----------------------------------------------------

said = pytest.mark.parametrize("text", poison.CORPUS)


def poisoned(text: str) -> Profile:
    return Profile.of(poison.poisoned(recorded(), text), Settings())


@said
def test_markdown_has_no_element_of_the_program_s(text: str) -> None:
    comment = poisoned(text).render("markdown")
    fences = re.compile(r"^(`{3,})text\n.*?^\1$", re.DOTALL | re.MULTILINE)
    spans = re.compile(r"(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)")
    prose = spans.sub("", fences.sub("", comment))
    elements = set(re.findall(r"<[^>]*>?", prose))
    assert elements <= {
        "<!-- txprof report -->",
        "<br>",
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
    }
    assert "\n# heading" not in prose
    assert "javascript:" not in re.findall(r"\]\(([^)]*)", prose)


@said
def test_github_has_one_command_a_finding(text: str) -> None:
    profile = poisoned(text)
    lines = profile.render("github").split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(profile.findings)
    assert all(re.match(r"::(error|warning|notice) file=", line) for line in lines)


@said
def test_documents_are_whole_whatever_is_in_them(text: str) -> None:
    profile = poisoned(text)
    assert sarif(profile)["runs"][0]["results"]
    assert ElementTree.fromstring(profile.render("junit").encode()).findall(".//failure")
    assert json.loads(profile.render("json"))["findings"]
    assert json.loads(profile.render("trace"))["traceEvents"]


@said
def test_a_terminal_is_not_talked_to(text: str) -> None:
    harmless = text.replace("\0", "")  # no file's name has one: `compile` and recordings refuse it
    shown = poisoned(f"{harmless}\x1b[31m\x9b2J\x07").render("text")
    assert set(re.findall(r"[\x00-\x1f\x7f-\x9f]", shown)) == {"\n"}


# --- trace --------------------------------------------------------------------------------------


def events(profile: Profile, phase: str) -> list[dict[str, Any]]:
    return [
        each for each in json.loads(profile.render("trace"))["traceEvents"] if each["ph"] == phase
    ]


def test_trace_has_a_lane_a_connection_with_its_holds_and_statements(profile: Profile) -> None:
    names = [each["args"]["name"] for each in events(profile, "M")]
    assert names == ["txprof: worker-1:4711", "connection 1", "connection 2"]
    kinds = [each["cat"] for each in events(profile, "X")]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "hold": 3,
        "transaction": 3,
        "statement": 9,
        "external,http": 3,
        "external,storage": 3,
    }


def test_trace_events_of_a_lane_are_nested_and_start_at_zero(profile: Profile) -> None:
    complete = events(profile, "X")
    assert min(each["ts"] for each in (*complete, *events(profile, "b"))) == 0
    assert_nested(complete)


def assert_nested(complete: list[dict[str, Any]]) -> None:
    for lane in {each["tid"] for each in complete}:
        open_until: list[float] = []
        mine = [each for each in complete if each["tid"] == lane]
        for each in sorted(mine, key=lambda one: (one["ts"], -one["dur"])):
            end = each["ts"] + each["dur"]
            while open_until and open_until[-1] <= each["ts"] + 0.01:
                open_until.pop()
            assert not open_until or end <= open_until[-1] + 0.01, each
            open_until.append(end)


REQUIRED = {
    "M": {"ph", "name", "pid", "tid", "args"},
    "X": {"ph", "name", "cat", "pid", "tid", "ts", "dur", "args"},
    "b": {"ph", "name", "cat", "pid", "tid", "ts", "id2", "args"},
    "e": {"ph", "name", "cat", "pid", "tid", "ts", "id2"},
}


def test_trace_events_have_the_fields_that_viewers_ask_for(profile: Profile) -> None:
    named: set[tuple[int, int]] = set()
    for each in json.loads(profile.render("trace"))["traceEvents"]:
        assert each.keys() == REQUIRED[each["ph"]], each
        assert each["pid"] > each["tid"] >= 0  # those that are equal are a "main thread"
        assert each["name"]
        assert all(each.get(time, 0) >= 0 for time in ("ts", "dur"))
        assert "-0.0" not in json.dumps(each)
        assert None not in each.get("args", {}).values()  # speedscope writes them all out
        if each["ph"] == "M":
            named.add((each["pid"], each["tid"]))
        else:
            assert (each["pid"], each["tid"]) in named, "a lane is named before it is used"


def test_trace_has_waits_and_overlapping_calls_beside_the_stack() -> None:
    overlapping = recorded()
    overlapping.exemplars[0].external_calls = [
        (0.1, 1.0, 1, "http", 1, None),
        (0.5, 1.5, 1, "http", 1, None),
        (1.6, 1.7, 1, "http", 1, None),
        (0.001, 0.05, 1, "http", 1, None),  # while a statement runs
    ]
    profile = Profile.of(overlapping, Settings())
    assert_nested(events(profile, "X"))
    begun = {each["id2"]["local"]: each for each in events(profile, "b")}
    ended = {each["id2"]["local"]: each for each in events(profile, "e")}
    kinds = [each["cat"] for each in begun.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"pool": 3, "external,http": 2}
    assert begun.keys() == ended.keys()
    for number, each in begun.items():
        assert (each["cat"], each["name"]) == (ended[number]["cat"], ended[number]["name"])
        assert each["ts"] <= ended[number]["ts"]


def test_trace_shows_a_hold_of_two_transactions_once() -> None:
    first, second = (replace(one, connection=1, process="a:1") for one in recorded().exemplars[:2])
    second = replace(second, started_at=first.started_at + 3, hold_start=first.hold_start - 3)
    both = replace(recorded(), exemplars=[first, second])
    holds = [e for e in events(Profile.of(both, Settings()), "X") if e["cat"] == "hold"]
    assert len(holds) == 1
