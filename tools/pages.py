"""Pages of docs/ that tools write, in whole or in part. Needs nothing but the standard library."""

from __future__ import annotations

import argparse
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def parser(description: str | None, page: Path) -> argparse.ArgumentParser:
    """For a tool that prints what it makes, or puts it into its page with `--write`."""
    found = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    found.add_argument(
        "--write", action="store_true", help=f"write {page.relative_to(ROOT)} instead of printing"
    )
    return found


def between(page: str, begin: str, end: str) -> tuple[str, str, str]:
    """What is up to the end of one mark, between the two, and from the other one on.

    Raises:
        SystemExit: when the page lacks one of them.
    """
    before, found_begin, rest = page.partition(begin)
    inside, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise SystemExit(f"the page lacks {begin} and {end}")
    return before + begin, inside, end + after


def write(page: Path, text: str) -> None:
    """Whole or not at all."""
    unfinished = page.with_suffix(".md.tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(page)
