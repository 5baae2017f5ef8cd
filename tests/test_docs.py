"""README.md and docs/: what they name is there: files, commands, options, make's targets."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path

import pytest

from txprof import cli
from txprof.recorded import Recorded
from txprof.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")), *ROOT.glob("tests/**/*.md")]

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)")
FOLDERS = "tests|tools|benchmarks|docs|examples|plugins|txprof"
PLACE = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)(?:::(\w+))?`")
COMMAND = re.compile(r"(?:^|`|\$ )txprof ([a-z][^`\n]*)", re.MULTILINE)
TARGET = re.compile(r"(?:^|`)make ([a-z-]+)(?=`|\s|$)", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Those of its subcommands, by name."""
    return {
        name: found
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, found in action.choices.items()
    }


def unknown(command: str) -> list[str]:
    """The words of a command line, up to a comment, that its command does not know."""
    words = command.partition(" #")[0].partition("&&")[0].split()
    parser = cli._parser()
    while words and words[0] in parsers(parser):
        parser = parsers(parser)[words.pop(0)]
    if parsers(parser):
        return words[:1]
    if parser.prog == "txprof run":
        words = own(words)
    options = [word.partition("=")[0].rstrip(",;)") for word in words if word.startswith("--")]
    return [option for option in options if option not in parser._option_string_actions]


def own(words: list[str]) -> list[str]:
    """Those of `txprof run`: what follows the program's name is the program's."""
    before = ""
    for place, word in enumerate(words):
        if not word.startswith("--") and not before.startswith("--"):
            return words[:place]
        before = word
    return words


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@every_page
def test_files_that_are_named_are_there(page: Path) -> None:
    places = PLACE.findall(page.read_text(encoding="utf-8"))
    assert [place for place, _ in places if not (ROOT / place).exists()] == []
    assert [
        (place, name)
        for place, name in places
        if name and f"def {name}(" not in (ROOT / place).read_text(encoding="utf-8")
    ] == []


def test_the_table_of_settings_is_theirs() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(field.name for field in fields(Settings))


def test_the_keys_of_a_recording_are_named() -> None:
    page = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    keys = {key for cell in named for key in re.findall(r"\w+", cell)}
    assert {field.name for field in fields(Recorded)} <= keys


@every_page
def test_commands_and_their_options_are_known(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = {command: unknown(command) for command in COMMAND.findall(text)}
    assert {command: words for command, words in found.items() if words} == {}


@every_page
def test_targets_of_make_are_in_the_makefile(page: Path) -> None:
    targets = set(TARGET.findall(page.read_text(encoding="utf-8")))
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets <= set(known)


def test_what_is_not_there_would_be_found() -> None:
    assert LINK.findall("[a](b.md#c) [d](https://e) [f](#g)") == ["b.md"]
    assert PLACE.findall("`tests/a.py::test_b` `docs/c.md`") == [
        ("tests/a.py", "test_b"),
        ("docs/c.md", ""),
    ]
    assert COMMAND.findall("`txprof a --b`\ntxprof c d\n") == ["a --b", "c d"]
    assert unknown("repotr x") == ["repotr"]
    assert unknown("report x --formt html") == ["--formt"]
    assert unknown("run --svae x batch.py --products 40") == ["--svae"]
    assert unknown("pool plna") == ["plna"]
    assert TARGET.findall("`make demo` and make a plan\nmake test\n") == ["demo", "test"]
