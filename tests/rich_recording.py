"""One recording with something of everything: what golden outputs and pages are made from."""

from __future__ import annotations

from pathlib import Path

from txprof import __version__
from txprof.course import Cell, Course
from txprof.exemplars import ExemplarRow
from txprof.locked import Inspected, Lock, Waiter
from txprof.model import CallPath, Site
from txprof.recorded import (
    BurstRow,
    CallRow,
    CheckoutRow,
    FunctionRow,
    Holder,
    IdleRow,
    LineRow,
    Load,
    PoolRow,
    Recorded,
    StatementRow,
    TransactionRow,
)
from txprof.results import Profile
from txprof.settings import Settings

FILE = Path(__file__).parent / "golden" / "research.py"
ENGINE = "postgresql+psycopg://app:***@db.example.com/app"
URL = "POST https://api.example.com/v1/chat"
LOCK = "SELECT product.id, product.name FROM product WHERE product.id = %(pk)s FOR UPDATE"
STARTED_AT = 1_767_225_600.0


def process(line: int) -> CallPath:
    return (Site(str(FILE), line, "process"), Site(str(FILE.with_name("batch.py")), 12, "main"))


def researcher(line: int) -> CallPath:
    return (Site(str(FILE), line, "Researcher.exec"),)


def recorded() -> Recorded:
    source = FILE.read_text(encoding="utf-8").splitlines()
    locks = (Lock("product", process(8)[0], LOCK),)
    waiting = Inspected(
        (("product", "RowShareLock"),), (Waiter("pid 4242", "update product set name = ?", 1.5),)
    )

    def line(number: int, hits: int, seconds: float, *, held: bool = True) -> LineRow:
        inside = seconds if held else 0.0
        return LineRow(number, hits, seconds, 0.0, inside, inside)

    def call(number: int, kind: str, target: str, seconds: float) -> CallRow:
        return CallRow(
            process(number),
            kind,
            target,
            "transaction",
            ENGINE,
            process(8),
            process(8),
            locks=locks,
            inspected=waiting if kind == "http" else None,
            block="with Session.begin()",
            count=3,
            seconds=seconds,
            longest=seconds / 2,
        )

    return Recorded(
        names=["process"],
        started_at=STARTED_AT,
        seconds=6.42,
        calls=3,
        functions=[
            FunctionRow(
                str(FILE),
                "process",
                6,
                source[5:16],
                calls=3,
                held_seconds=6.40,
                transaction_seconds=6.40,
                lines=[
                    line(7, 6, 0.0024),
                    line(8, 3, 0.0051),
                    line(9, 3, 5.8203),
                    line(11, 3, 0.0032),
                    line(12, 3, 0.561),
                    line(13, 63, 0.0009),
                    line(14, 60, 0.0126),
                    line(15, 60, 0.0095),
                    line(16, 3, 0.00001, held=False),
                ],
            ),
            FunctionRow(
                str(FILE),
                "Researcher.exec",
                20,
                source[19:25],
                calls=1,
                held_seconds=0.31,
                transaction_seconds=0.0,
                lines=[
                    LineRow(21, 1, 0.3, 0.0, 0.0, 0.0),
                    LineRow(22, 2, 0.25, 0.0, 0.25, 0.0),
                    LineRow(23, 1, 0.004, 0.0, 0.004, 0.0),
                    LineRow(24, 1, 0.002, 0.0, 0.002, 0.0),
                    LineRow(25, 1, 0.00001, 0.0, 0.00001, 0.0),
                ],
                note="seen from its second call on",
            ),
        ],
        statements=[
            StatementRow(process(8), LOCK, "transaction", 3, 0.0048, 0.002),
            StatementRow(process(14), "SELECT unit.symbol FROM unit", "transaction", 60, 0.0094),
            StatementRow(process(15), "UPDATE detail SET name = ?", "transaction", 60, 0.0081),
            StatementRow(researcher(24), "SELECT product.id FROM product", "held", 1, 0.002),
        ],
        bursts=[
            BurstRow(
                process(14),
                "select unit.symbol from unit where unit.id = ?",
                "transaction",
                Load("relationship", "Detail.unit", "joinedload(Detail.unit)"),
                entries=3,
                count=60,
                most=20,
                distinct=20,
                seconds=0.0094,
            ),
            BurstRow(
                process(15),
                "update detail set name = ? where detail.id = ?",
                "transaction",
                Load("write"),
                entries=3,
                count=60,
                most=20,
                distinct=20,
                seconds=0.0081,
            ),
        ],
        idle=[
            IdleRow(
                process(14),
                process(8),
                ENGINE,
                process(8)[0],
                process(14)[0],
                call=process(9),
                locks=locks,
                count=3,
                seconds=6.39,
                longest=2.4,
                external_seconds=6.376,
            )
        ],
        transactions=[
            TransactionRow(
                process(8),
                ENGINE,
                locks,
                count=3,
                seconds=6.40,
                longest=2.41,
                statement_seconds=0.0223,
                external_seconds=6.376,
            )
        ],
        external_calls=[
            call(9, "http", URL, 5.818),
            call(12, "storage", "s3.PutObject product-images", 0.558),
            CallRow(
                researcher(23),
                "cache",
                "redis GET",
                "held",
                ENGINE,
                researcher(22),
                researcher(22),
                block="with self.engine.connect()",
                count=1,
                seconds=0.004,
                longest=0.004,
            ),
        ],
        pools=[PoolRow(ENGINE, 5, 5, 6.7, 6.4, 5, 4, 5.6, 4.98, 1, 5, course=course())],
        checkouts=[
            CheckoutRow(
                "pool-timeout",
                ENGINE,
                process(8),
                count=1,
                seconds=5.0,
                longest=5.0,
                holders=(
                    Holder(4.2, "thread worker_1", process(8)[0], process(9)[0], LOCK),
                    Holder(3.1, "thread worker_2", process(8)[0], process(12)[0]),
                ),
            ),
            CheckoutRow("pool-wait", ENGINE, researcher(21), count=1, seconds=0.3, longest=0.3),
            CheckoutRow(
                "nested-checkout", ENGINE, researcher(22), researcher(21), count=1, held_at_once=2
            ),
            CheckoutRow("connection-leak", ENGINE, researcher(21), count=1),
        ],
        exemplars=[exemplar(1, 0.0, 2.41), exemplar(2, 0.5, 2.2), exemplar(1, 2.6, 1.7)],
        exemplars_kept=20,
    )


def course() -> Course:
    """Five busy connections, and two that wait, between quiet seconds."""
    found = Course(-1)
    for number, (busy, waiting) in enumerate([(1, 0), (3, 0), (5, 2), (5, 1), (2, 0), (0, 0)]):
        cell = Cell(0.5, busy * 0.5, min(5, busy + 1), waiting * 0.5)
        found.cells[2 * int(STARTED_AT) + number] = cell
    return found


def exemplar(connection: int, after: float, seconds: float) -> ExemplarRow:
    return ExemplarRow(
        engine=ENGINE,
        process="worker-1:4711",
        connection=connection,
        owner=f"thread worker_{connection}",
        started_at=STARTED_AT + after,
        seconds=seconds,
        outcome="commit",
        finishing=seconds - 0.002,
        hold_start=-0.001,
        hold_end=seconds + 0.001,
        wait_seconds=0.3,
        opened=process(8),
        hold=process(8),
        paths=[process(8), process(9), process(12), process(14)],
        texts=[LOCK, URL, "s3.PutObject product-images", "SELECT unit.symbol FROM unit"],
        statements=[
            (0.0, 0.002, 0, 0, False),
            (seconds - 0.2, seconds - 0.19, 3, 3, False),
            (seconds - 0.1, seconds - 0.09, 3, 3, True),
        ],
        external_calls=[
            (0.01, seconds - 0.4, 1, "http", 1, None),
            (seconds - 0.39, seconds - 0.25, 2, "storage", 2, "outbox"),
        ],
    )


def profile() -> Profile:
    return Profile.of(recorded(), Settings())


GOLDEN = {
    "text": "report.txt",
    "markdown": "report.md",
    "github": "report.github",
    "sarif": "report.sarif",
    "json": "report.json",
    "junit": "report.xml",
    "trace": "report.trace.json",
}
"""Files in tests/golden/. `python tests/rich_recording.py` writes them anew: see what changed."""


def golden(format: str) -> str:
    """The report without what another machine or version has otherwise."""
    return profile().render(format).replace(f'"{__version__}"', '"VERSION"')


if __name__ == "__main__":
    for name, file in GOLDEN.items():
        (FILE.parent / file).write_text(golden(name), encoding="utf-8")
