"""What each rule means, in a sentence or three: for formats that carry help along."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """`title` in a few words, `why` it matters, what to do (`remedy`)."""

    title: str
    why: str
    remedy: str


RULEBOOK: dict[str, Entry] = {
    "io-in-transaction": Entry(
        "External call inside a transaction",
        "While the call takes its time the transaction keeps its connection, its snapshot and its "
        "locks. Under load the pool runs dry, and others wait for the locked rows.",
        "Read what you need, end the transaction, call, then open a new one to write.",
    ),
    "io-while-held": Entry(
        "External call while a connection is held",
        "The connection does nothing while the call takes its time, and nobody else can have it.",
        "Give the connection back before the call: close the session, or leave its block.",
    ),
    "n-plus-one": Entry(
        "One query a row",
        "A relationship, an attribute or a query is loaded again for every row: as many round "
        "trips to the database as there are rows.",
        "Load it with the rows: selectinload() or joinedload(), undefer(), or one IN query.",
    ),
    "write-loop": Entry(
        "Rows written one by one",
        "Every row is a round trip to the database, with the transaction open meanwhile.",
        "Write them in one statement, session.execute(insert(...), rows), or in one flush.",
    ),
    "idle-in-transaction": Entry(
        "Transaction without a statement",
        "The transaction kept its connection, its snapshot and its locks while the program did "
        "something else. Databases cut such sessions off; vacuum and others wait for them.",
        "End the transaction before the work that needs no database.",
    ),
    "long-transaction": Entry(
        "Transaction open for long",
        "Its locks and its snapshot are kept all the time: others wait, and tables bloat.",
        "Make it shorter: read, commit, work, then write in a transaction of its own.",
    ),
    "nested-checkout": Entry(
        "A second connection of the same pool",
        "Who holds one connection and waits for another can wait for himself: when all do, the "
        "pool is deadlocked until checkouts time out.",
        "Use the connection that is held, or give it back first.",
    ),
    "pool-wait": Entry(
        "Waited for a connection",
        "All connections of the pool were out: threads wait instead of working. On an event "
        "loop's own thread no task goes on meanwhile.",
        "Hold connections for less time; only then think of a larger pool.",
    ),
    "pool-timeout": Entry(
        "Got no connection",
        "A checkout gave up: the request or job failed because others held every connection.",
        "Look at who held them, and at which lines; let them hold for less time.",
    ),
    "connection-leak": Entry(
        "Connection not given back",
        "It stays out until the garbage collector happens to find it; until then the pool is one "
        "smaller, and its transaction may be open.",
        "Take it in a `with` block, which gives it back whatever happens.",
    ),
}


def entry(rule: str) -> Entry:
    """A rule's help; of one that is not in the book, its name."""
    return RULEBOOK.get(rule) or Entry(rule, "", "")
