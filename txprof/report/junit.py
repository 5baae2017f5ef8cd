"""JUnit's XML, for CI servers that show test results: a suite a rule, a failure a finding."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from txprof.model import RULES
from txprof.report.places import uri_path
from txprof.report.words import cost, rest, what, xml_text

if TYPE_CHECKING:
    from txprof.found import Finding
    from txprof.results import Profile


def render(profile: Profile) -> str:
    """Errors and warnings are failures; an `info` passes, and says so in its output.

    A rule that found nothing is a test that passed, so that a report is never empty.
    """
    found: dict[str, list[Finding]] = defaultdict(list)
    for finding in profile.findings:
        found[finding.rule].append(finding)
    root = ElementTree.Element("testsuites", name="txprof")
    failures = tests = 0
    for rule in (*RULES, *sorted(set(found) - set(RULES))):
        failed = sum(finding.severity != "info" for finding in found[rule])
        tests += max(1, len(found[rule]))
        failures += failed
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=rule,
            tests=str(max(1, len(found[rule]))),
            failures=str(failed),
            errors="0",
            skipped="0",
        )
        for finding in found[rule]:
            _case(suite, finding)
        if not found[rule]:
            ElementTree.SubElement(suite, "testcase", classname="txprof", name=rule)
    root.set("tests", str(tests))
    root.set("failures", str(failures))
    root.set("errors", "0")
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _case(suite: ElementTree.Element, finding: Finding) -> None:
    site = finding.site
    file = uri_path(site.file)
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=xml_text(file.removesuffix(".py").replace("/", ".")),
        name=xml_text(f"{site.function}: {what(finding)} (line {site.line})"),
        file=xml_text(file),
        line=str(site.line),
        time="0" if finding.seconds is None else f"{finding.seconds:.6f}",
    )
    told = xml_text(f"{what(finding)} {cost(finding)}{rest(finding)}")
    place = f"{file}:{site.line} in {site.function}"
    text = f"{xml_text(place)}\n{told}\n→ {xml_text(finding.hint)}\n"
    if finding.severity == "info":
        ElementTree.SubElement(case, "system-out").text = text
    else:
        failure = ElementTree.SubElement(case, "failure", type=finding.severity, message=told)
        failure.text = text
