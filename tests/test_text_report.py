"""The annotated report: its look, its widths, its fallbacks."""

from __future__ import annotations

import io
import linecache
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import txprof
from txprof.model import Site
from txprof.recorded import CallRow, FunctionRow, LineRow, PoolRow, Recorded, StatementRow
from txprof.results import Profile
from txprof.settings import Settings

SOURCE = """\
def process(product_id: int) -> None:
    with Session.begin() as session:
        product = session.get(Product, product_id)
        text = llm.fetch_specs(product.name)

        specs = parse_specs(text)
        s3.upload(product.image)
        session.add_all(merge(product.details, specs))
    a = 1
    b = 2
    c = 3
    d = 4
    e = 5
    f = "Größe 漢字 ×"
    return None
""".splitlines()


def site(path: Path, line: int, function: str = "process") -> Site:
    return Site(str(path), line, function)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "naive.py"
    path.write_text("\n" * 40 + "\n".join(SOURCE) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def recorded(module: Path) -> Recorded:
    """A run that has what a report can show: findings, gutters, a pool that ran out."""

    def line(number: int, hits: int, milliseconds: float, *, inside: bool = True) -> LineRow:
        seconds = milliseconds / 1e3
        held = seconds if inside else 0.0
        return LineRow(number, hits, seconds, None, held, held)

    def call(number: int, kind: str, target: str, seconds: float) -> CallRow:
        return CallRow(
            (site(module, number),),
            kind,
            target,
            "transaction",
            engine="sqlite://",
            opened=(site(module, 43),),
            hold=(site(module, 43),),
            block="with Session.begin()",
            count=3,
            seconds=seconds,
        )

    return Recorded(
        names=["process"],
        started_at=0.0,
        seconds=6.42,
        calls=3,
        functions=[
            FunctionRow(
                str(module),
                "process",
                41,
                SOURCE,
                calls=3,
                held_seconds=6.40,
                transaction_seconds=6.40,
                lines=[
                    line(42, 6, 2.4),
                    line(43, 3, 5.1),
                    line(44, 3, 5820.3),
                    line(46, 3, 3.2),
                    line(47, 3, 561.0),
                    line(48, 60, 27.6),
                    *(line(number, 3, 0.01, inside=False) for number in range(49, 56)),
                ],
            )
        ],
        statements=[
            StatementRow((site(module, 43),), "SELECT 1", "transaction", 3, 0.0048, 0.002),
            StatementRow((site(module, 48),), "SELECT 2", "transaction", 66, 0.0094, 0.002),
        ],
        external_calls=[
            call(44, "http", "POST http://127.0.0.1:8011/v1/chat", 5.818),
            call(47, "storage", "s3.PutObject product-images", 0.558),
        ],
        pools=[
            PoolRow(
                "sqlite://", 5, 3, 6.4, 6.4, peak_busy=5, waits=3, longest_wait=4.98, timeouts=1
            )
        ],
    )


@pytest.fixture
def profile(recorded: Recorded) -> Profile:
    return Profile.of(recorded, Settings())


EXPECTED = """\
txprof ── process ── 3 calls · 6.42 s · connection held 6.40 s (99.7 %) · 69 queries · 6 external calls

       time   hits      db  external     line
                                          41  def process(product_id: int) -> None:
      2.4ms      6                    ┏   42      with Session.begin() as session:
      5.1ms      3   4.8ms            ┃   43          product = session.get(Product, product_id)
   5820.3ms      3            5818ms  ┃   44          text = llm.fetch_specs(product.name)
                                      ┃           ▲ io-in-transaction: HTTP POST 127.0.0.1:8011/v1/chat ×3
                                      ┃   45
      3.2ms      3                    ┃   46          specs = parse_specs(text)
    561.0ms      3             558ms  ┃   47          s3.upload(product.image)
                                      ┃           ▲ io-in-transaction: S3 PutObject product-images ×3
     27.6ms     60   9.4ms            ┗   48          session.add_all(merge(product.details, specs))
      0.0ms      3                        49      a = 1
      0.0ms      3                        50      b = 2

error    io-in-transaction  naive.py:44 process   HTTP POST 127.0.0.1:8011/v1/chat ×3, 5.82 s inside the
         transaction opened at naive.py:43 process (sqlite://)
         → read what you need, leave the `with Session.begin()` block, call, then open a new one to write
error    io-in-transaction  naive.py:47 process   S3 PutObject product-images ×3, 558 ms inside the
         transaction opened at naive.py:43 process (sqlite://)
         → read what you need, leave the `with Session.begin()` block, call, then open a new one to write
pool     size 5 · peak busy 5 · waited 3× (max 4.98 s) · timeouts 1"""


def test_the_report_looks_as_designed(profile: Profile) -> None:
    lines = profile.render().splitlines()
    assert lines[2].endswith("naive.py")
    assert "\n".join(lines[:2] + lines[3:]) == EXPECTED


def test_nothing_is_wider_than_the_terminal(profile: Profile) -> None:
    for width in (60, 80, 100, 120):
        report = profile.render(width=width)
        assert max(len(line) for line in report.splitlines()) <= width
        assert "▲ io-in-transaction" in report
        assert "text = " in report


def test_columns_stay_in_line_where_many_tasks_waited_side_by_side(recorded: Recorded) -> None:
    recorded.functions[0].lines[2].seconds = 403.2437
    report = Profile.of(recorded, Settings()).render(width=80).splitlines()
    waited, before = (
        next(line for line in report if code in line) for code in ("llm.fetch", "session.get(")
    )
    assert waited.startswith(" 403244ms     3 ")
    assert waited.index("┃") == before.index("┃")


def test_distant_lines_are_joined_by_dots(recorded: Recorded) -> None:
    recorded.functions[0].lines[-1].seconds = 0.002
    report = Profile.of(recorded, Settings(context_lines=1)).render().splitlines()
    dots = next(index for index, line in enumerate(report) if line.strip() == "...")
    assert "   49      a = 1" in report[dots - 1]
    assert 'f = "Größe 漢字 ×"' in report[dots + 1]


def test_thresholds_and_context_are_settings(recorded: Recorded) -> None:
    everything = Profile.of(recorded, Settings(nominal_ms=0, context_lines=0)).render()
    assert "d = 4" in everything
    little = Profile.of(recorded, Settings(nominal_ms=10_000, context_lines=0)).render()
    assert "specs = parse_specs" not in little
    assert "text = llm" in little  # it has a finding


@pytest.mark.parametrize(("milliseconds", "style"), [(51, "31"), (6, "33"), (1, None), (0.1, "2")])
def test_colours_are_rack_lineprofs(recorded: Recorded, milliseconds: float, style: str) -> None:
    recorded.functions[0].lines[0].seconds = milliseconds / 1e3
    report = Profile.of(recorded, Settings()).render(color=True)
    (line,) = [line for line in report.splitlines() if "Session" in line and "begin" in line][:1]
    cell = f"{milliseconds:.1f}ms".rjust(11)
    assert (f"\x1b[{style}m{cell}" in line) if style else line.startswith(cell)


def test_without_colour_there_is_no_escape(profile: Profile) -> None:
    assert "\x1b" not in profile.render()
    assert "\x1b[" in profile.render(color=True)


def test_without_unicode_our_signs_are_ascii_and_the_source_is_not(recorded: Recorded) -> None:
    recorded.functions[0].lines[-1].seconds = 0.002
    report = Profile.of(recorded, Settings()).render(unicode=False)
    assert 'f = "Größe 漢字 ×"' in report
    assert report.replace('"Größe 漢字 ×"', "").isascii()
    assert "# " in report
    assert "^ io-in-transaction" in report


def test_control_characters_do_not_reach_the_terminal(recorded: Recorded) -> None:
    recorded.external_calls[0].target = "GET http://x/\x1b]0;title\x07\r\n"
    recorded.functions[0].source = [*SOURCE[:3], "        text = '\x1b[31m'", *SOURCE[4:]]
    report = Profile.of(recorded, Settings()).render()
    assert not [char for char in report if ord(char) < 32 and char != "\n"]


def test_a_held_connection_without_transaction_has_a_thin_gutter(recorded: Recorded) -> None:
    for row in (*recorded.statements, *recorded.external_calls):
        row.state = "held"
    for line in recorded.functions[0].lines:
        line.transaction_seconds = 0.0
    report = Profile.of(recorded, Settings()).render()
    assert "┌   42" in report
    assert "│   44" in report
    assert "└   48" in report
    assert "▲ io-while-held" in report


def test_findings_outside_the_listing_are_in_the_summary(recorded: Recorded) -> None:
    recorded.functions = []
    report = Profile.of(recorded, Settings()).render()
    assert "▲" not in report
    assert report.count("error    io-in-transaction") == 2


def test_nothing_found_is_said(recorded: Recorded) -> None:
    recorded.external_calls = []
    assert "no findings" in Profile.of(recorded, Settings()).render()


def test_source_that_changed_since_the_run_is_shown_as_it_ran(
    profile: Profile, module: Path
) -> None:
    module.write_text("\n" * 40 + "def other():\n    pass\n")
    os.utime(module, (1, 1))
    report = profile.render()
    assert "the file changed since the run: the lines below are as they ran" in report
    assert "text = llm.fetch_specs" in report
    module.unlink()
    assert "the file changed since the run" in profile.render()


def test_source_that_was_gone_when_it_ran_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "gone.py"
    path.write_text("def work():\n    return 1\n")
    namespace: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    path.write_text("# a line that was put in\n\ndef other():\n    return 2\n")
    linecache.checkcache(str(path))
    with txprof.profile(namespace["work"]) as prof:
        namespace["work"]()
    report = prof.render()
    assert "source not shown: it is gone, or changed after it was imported" in report
    assert "a line that was put in" not in report
    assert prof.functions[0].calls == 1


def test_several_functions_each_have_a_heading(recorded: Recorded, module: Path) -> None:
    recorded.functions.append(
        FunctionRow(str(module), "other", 50, ["def other():", "    pass"], 2, 0.0, 0.0)
    )
    report = Profile.of(recorded, Settings()).render()
    assert "naive.py  process · 3 calls · 6.42 s · held 6.40 s" in report
    assert "naive.py  other · 2 calls" in report


def test_an_unknown_format_names_the_known(profile: Profile) -> None:
    with pytest.raises(ValueError, match="unknown report format 'pdf'; known are text"):
        profile.render("pdf")


# Where it is printed


def test_printing_to_a_file_is_plain(profile: Profile) -> None:
    file = io.StringIO()
    profile.print(file)
    assert file.getvalue() == profile.render()


def test_a_file_that_cannot_take_our_signs_gets_others(recorded: Recorded) -> None:
    recorded.functions[0].lines[-1].seconds = 0.002
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Profile.of(recorded, Settings()).print(file)
    text = raw.getvalue().decode("ascii")
    assert "io-in-transaction" in text
    assert "\\u6f22" in text


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_get_no_box_art(
    profile: Profile, tmp_path: Path, variable: dict[str, str]
) -> None:
    path = tmp_path / "run.txprof"
    profile.save(path)
    program = f"import txprof; txprof.load({str(path)!r}).print()"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variable},
    )
    assert "┃" not in result.stdout
    assert "\x1b" not in result.stdout
    assert "^ io-in-transaction" in result.stdout
