"""The code around the application: a test suite, a load script. It is no part of what is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txprof.boundary import Boundary


def _nowhere(_file: str) -> bool:
    return False


class Harness:
    """The code around the application, by its files and functions.

    `with txprof.profile(harness=txprof.Harness(is_test_file)) as prof:` judges what the application
    does, and neither what the harness does itself nor what it has open. What the application opens
    inside of that counts: a SAVEPOINT, or the transaction of a Session that was given a connection
    with one. Each call from the harness into the application is an entry of its own: a loop over
    such calls is no burst.

    Args:
        is_harness: whether a file (as `__code__.co_filename` has it) is the harness's. Asked once
            a file.
        is_script: whether a file of the harness's may hold an application too: its top-level
            functions count as one where no application proper is on the path. By default none may.
    """

    def __init__(
        self,
        is_harness: Callable[[str], object],
        *,
        is_script: Callable[[str], object] = _nowhere,
    ) -> None:
        for question in (is_harness, is_script):
            if not callable(question):
                raise TypeError(f"Harness() takes functions of a file's name, not {question!r}")
        self._questions = (is_harness, is_script)
        self._boundary: Boundary | None = None

    @property
    def boundary(self) -> Boundary:
        """What the sensors ask."""
        if self._boundary is None:
            from txprof.boundary import Boundary

            self._boundary = Boundary(*self._questions)
        return self._boundary

    def add(self, *functions: Callable[..., Any], aside: bool = False) -> None:
        """These functions are the harness's, wherever they stand, as a test function is.

        What is called from an `aside` one counts for nobody: set-up and tear-down.
        """
        self.boundary.add(functions, aside=aside)

    def keepers(
        self, objects: Callable[[], Iterable[Any]], *, besides: tuple[type, ...] = ()
    ) -> None:
        """A connection that one of these objects has is the harness's to give back: no leak.

        It has what it refers to, itself or by way of others, but for objects of the types
        `besides`. Asked only where a connection is out at the end of a profile, and again by
        `Profile.unreturned`.
        """
        self.boundary.keepers = (objects, besides)

    def take_over(self) -> None:
        """What is open now, on any thread, is the harness's own. Sensors go in with the first."""
        self.boundary.take_over()

    def forget(self) -> None:
        """Ask anew of every file; the functions that were added are no longer the harness's."""
        self.boundary.forget()

    def __enter__(self) -> Harness:
        """What runs now, on any thread, counts for nobody: set-up and tear-down."""
        self.boundary.aside += 1
        return self

    def __exit__(self, *error: object) -> None:
        self.boundary.aside -= 1
