"""What a forked child must not inherit: locks that a thread of its parent held, open holds.

Only the thread that forks goes on in the child. A lock that another one held at that moment would
never be released there.
"""

from __future__ import annotations

import os
import threading
import weakref

_locks: weakref.WeakSet[threading.Lock] = weakref.WeakSet()


def new_lock() -> threading.Lock:
    """A lock that is free in a forked child, whoever held it in the parent."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def _free_all() -> None:
    for lock in list(_locks):
        # Private, and what `threading` and `logging` themselves call here; releasing is next best.
        again = getattr(lock, "_at_fork_reinit", None)
        if again is not None:
            again()
        elif lock.locked():
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
