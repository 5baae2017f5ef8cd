"""A block to profile, or what decorates a function: what `profile` makes of its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from txprof.harness import Harness
    from txprof.results import Profile
    from txprof.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


class Decorates(Protocol):
    """What `profile(...)` with options alone returns: a decorator, and a block."""

    def __call__(self, target: F, /) -> F: ...
    def __enter__(self) -> Profile: ...
    def __exit__(self, *error: object) -> None: ...
    async def __aenter__(self) -> Profile: ...
    async def __aexit__(self, *error: object) -> None: ...


class Profiling:
    """A block to profile; made by `profile`. Given no functions, a decorator as well."""

    def __init__(
        self,
        functions: tuple[Any, ...],
        scope: str | None,
        name: str | None,
        settings: Settings,
        harness: Harness | None = None,
    ) -> None:
        self._targets = functions
        self._harness = harness
        self._scope = scope
        self._name = name
        self._settings = settings
        self._runs: list[Any] = []

    def __call__(self, target: Any) -> Any:
        """Decorate a function or class."""
        if self._targets:
            raise TypeError(
                "profile() was given functions, so it profiles a `with` block; "
                "to decorate, write @profile or @profile(option=...)"
            )
        if self._scope is not None:
            raise ValueError(
                "scope is for `with` blocks; a decorated function always watches its own context"
            )
        if self._harness is not None:
            raise ValueError("harness is for `with` blocks: a decorated function is called by one")
        from txprof.settings import enabled

        check_target(target)
        if not enabled():
            return target
        from txprof.decorated import decorate

        return decorate(target, self._name, self._settings)

    def __enter__(self) -> Profile:
        return self._begin(sys._getframe(1))

    def __exit__(self, *error: object) -> None:
        run = self._runs.pop()
        if run is not None:
            run.leave(failed=bool(error and error[0]))

    async def __aenter__(self) -> Profile:
        return self._begin(sys._getframe(1))

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def _begin(self, frame: FrameType) -> Profile:
        from txprof.results import Profile
        from txprof.settings import enabled

        name = self._name or self._default_name(frame)
        if not enabled():
            from txprof.recorded import Recorded

            self._runs.append(None)
            return Profile.of(Recorded([name], 0.0, 0.0, runs=0), self._settings)
        from txprof.runs import BlockRun

        names = [target for target in self._targets if isinstance(target, str)]
        functions: list[FunctionType] = []
        if len(names) < len(self._targets):
            from txprof.lines.targets import functions_of

            functions = [
                function
                for target in self._targets
                if not isinstance(target, str)
                for function in functions_of(target)
            ]
        run = BlockRun(
            name,
            functions,
            self._settings,
            scope=self._scope or "process",
            names=names,
            around=None if self._harness is None else self._harness.boundary,
        )
        self._runs.append(run)
        return run.profile

    def _default_name(self, frame: FrameType) -> str:
        if not self._targets:
            return f"{frame.f_code.co_name}:{frame.f_lineno}"
        from txprof.decorated import name_of

        return ", ".join(
            target if isinstance(target, str) else name_of(target) for target in self._targets
        )


def check_target(target: Any) -> None:
    if isinstance(target, str):
        from txprof.lines.names import named

        named(target)
        return
    from txprof.lines.targets import functions_of

    functions_of(target)
