"""What is kept of the tests: a recording of each, and the report of all."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

import txprof
from pytest_txprof.options import Choices

FORMATS = {
    ".html": "html",
    ".json": "json",
    ".md": "markdown",
    ".sarif": "sarif",
    ".txt": "text",
    ".txprof": "recording",
}
"""Suffix of a report's file -> txprof's name of the format."""

_MERGED = 50
"""Profiles that are kept apart before they are merged."""


class Recordings:
    """Keeps recordings where the options ask for them."""

    def __init__(self, choices: Choices, config: pytest.Config) -> None:
        self._config = config
        folder = choices.of_run("save")
        self._folder = None if folder is None else config.rootpath / folder
        self._reports = [config.rootpath / name for name in choices.of_run("report")]
        for file in self._reports:
            if file.suffix not in FORMATS:
                raise pytest.UsageError(
                    f"--txprof-report {file.name}: the suffix tells the format: one of "
                    f"{', '.join(FORMATS)}"
                )
        self._profiles: list[txprof.Profile] = []
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise pytest.UsageError(f"--txprof-save {folder}: {error.strerror}") from None

    def keep(self, item: pytest.Item, profile: txprof.Profile) -> None:
        """A test is over."""
        if self._folder is not None:
            profile.save(self._folder / file_name(item.nodeid))
        if self._reports:
            self._profiles.append(profile)
            if len(self._profiles) > _MERGED:
                self._profiles = [txprof.merge(*self._profiles)]

    def finish(self) -> None:
        """All tests of this process are over: write the reports, or tell xdist's controller."""
        if not self._reports or not self._profiles:
            return
        merged = txprof.merge(*self._profiles)
        output: Any = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["txprof"] = dumped(merged)
        else:
            self._profiles = [merged]
            self.write()

    def add_worker(self, recording: str) -> None:
        """What one of xdist's workers kept."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "worker.txprof"
            file.write_text(recording, encoding="utf-8")
            self._profiles.append(txprof.load(file))

    def write(self) -> None:
        """The reports of all there is."""
        if not self._profiles:
            return
        merged = txprof.merge(*self._profiles)
        for file in self._reports:
            file.parent.mkdir(parents=True, exist_ok=True)
            format = FORMATS[file.suffix]
            if format == "recording":
                merged.save(file)
            else:
                text = merged.render(format)
                temporary = file.with_name(f".{file.name}.new")
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(file)


def dumped(profile: txprof.Profile) -> str:
    """A recording as text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "worker.txprof"
        profile.save(file)
        return file.read_text(encoding="utf-8")


def file_name(nodeid: str) -> str:
    """test_batch.py-test_process-1a2b3c4d.txprof: readable, and one for each test."""
    readable = re.sub(r"[^A-Za-z0-9_.\[\]-]+", "-", nodeid.rpartition("/")[2])[:100]
    return f"{readable}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}.txprof"
