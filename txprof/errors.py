"""What txprof raises and warns with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txprof.found import Finding


class TransactionHygieneError(Exception):
    """A rule fired under `on_finding="raise"`; the external call was not sent.

    `finding` is the `txprof.Finding`. The error survives pickling, so that it crosses process
    pools and test workers.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding)
        self.finding = finding

    def __str__(self) -> str:
        site, finding = self.finding.site, self.finding
        return (
            f"{finding.rule}: {finding.message} "
            f"({site.file}:{site.line} in {site.function}). To fix it: {finding.hint}"
        )


class TransactionHygieneWarning(RuntimeWarning):
    """Goes with every `TransactionHygieneError`, in case a broad `except` eats that."""


class RecordingError(Exception):
    """A recording cannot be read. The text names the file, the position in it and the cause."""
