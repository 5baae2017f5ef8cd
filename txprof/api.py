"""What the user writes: profile, allow, external_call, watch, load, merge."""

from __future__ import annotations

import sys
from collections.abc import Callable
from os import PathLike
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from txprof.model import KINDS
from txprof.profiling import Decorates, Profiling, check_target

if TYPE_CHECKING:
    from txprof.found import Call
    from txprof.harness import Harness
    from txprof.policy import Predicate
    from txprof.profiled import OpenConnection
    from txprof.results import Profile
    from txprof.sensors.external import ExternalCall
    from txprof.watching import Watch

F = TypeVar("F", bound=Callable[..., Any])

_SCOPES = ("process", "context")


@overload
def profile(target: F, /) -> F: ...  # type: ignore[overload-overlap]
@overload
def profile(
    *functions: Callable[..., Any] | str,
    on_finding: str | Callable[..., Any] = ...,
    report: str | None = ...,
    scope: Literal["process", "context"] = ...,
    name: str = ...,
    harness: Harness | None = ...,
    **settings: Any,
) -> Decorates: ...
def profile(
    *functions: Any,
    scope: str | None = None,
    name: str | None = None,
    harness: Harness | None = None,
    **settings: Any,
) -> Any:
    """Profile a function line by line, and watch what it does while it holds a connection.

    As a decorator, bare or with options, of a function of any kind, a method, or a class (every
    method of it). Or as a block, `with profile(process, Researcher.exec) as prof:`, which times
    these functions while it runs and watches the whole process, or with `scope="context"` only
    its own thread or task. Functions together with options are always a block, and so are names:
    `with profile("app.jobs:process", "app.research:*") as prof:`.

    Args:
        functions: what to line-profile; Python functions, methods, classes, and names or shell
            patterns "module:function" of them, or of the files they are written in,
            "app/research/*.py". What a name leads to may be imported later.
        scope: "process" (default) or "context", for blocks.
        name: the profile's name in reports; by default the function's.
        harness: for blocks, what of the running code is no part of the application: a test suite.
        settings: any setting of `txprof.settings.Settings`, such as
            `on_finding="log" | "raise" | "ignore" | callable`,
            `report="exit" | "call" | None` and `lines="auto"`: functions that were seen to open
            a transaction or a hold are line-profiled from then on (CPython 3.12 and newer).

    Raises:
        TypeError: for what is not callable, has no Python code, or an unknown setting.
        ValueError: for a setting's value that is not allowed, a malformed name, or (when the
            block is entered) a name that an imported module does not have.
        TransactionHygieneError: from the profiled code, under `on_finding="raise"`.
    """
    for target in functions:
        check_target(target)
    if scope is not None and scope not in _SCOPES:
        raise ValueError(f"scope must be 'process' or 'context', not {scope!r}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r}")
    from txprof.settings import current

    found = current().with_arguments(settings)
    if found.disable or found.severity or found.raise_rules:
        from txprof.rules import check_settings

        check_settings(found)
    if harness is not None:
        from txprof.harness import Harness

        if not isinstance(harness, Harness):
            raise TypeError(f"harness must be a txprof.Harness, not {harness!r}")
    profiling = Profiling(functions, scope, name, found, harness)
    bare = len(functions) == 1 and not settings and scope is None and name is None
    bare = bare and harness is None
    bare = bare and not isinstance(functions[0], str)
    if not bare:
        return profiling
    if _opens_with_block(sys._getframe(1)):
        return profiling
    return Profiling((), None, None, found)(functions[0])


_WITH = {"BEFORE_WITH", "BEFORE_ASYNC_WITH", "LOAD_SPECIAL"}


def _opens_with_block(frame: FrameType) -> bool:
    """Whether the call that `frame` makes just now is what a `with` statement enters.

    `with profile(f)` and `@profile` are the same call. Only what follows it tells them apart; it
    matters for a class, which cannot be entered itself, and under TXPROF=0.
    """
    import dis

    following = [
        instruction.opname
        for instruction in dis.get_instructions(frame.f_code)
        if instruction.offset > frame.f_lasti and instruction.opname != "CACHE"
    ]
    return bool(_WITH & set(following[:1])) or following[:2] == ["COPY", "LOAD_SPECIAL"]


class allow:
    """Let a rule be broken, on purpose and for a reason, in a block or a decorated function.

    `with txprof.allow("io-in-transaction", reason="outbox row and call must be atomic"): ...`
    On a line, `# txprof: allow[io-in-transaction] reason` says the same.

    Raises:
        ValueError: for a rule that does not exist, or an empty reason.
    """

    def __init__(self, rule: str, *, reason: str) -> None:
        from txprof.policy import Allowance
        from txprof.rules import check_rule

        check_rule(rule)
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a string, not {reason!r}")
        if not reason.strip():
            raise ValueError(f"allow({rule!r}) needs a reason: say why it has to be")
        self._allowance = Allowance(rule, reason.strip())
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        from txprof.policy import allowances

        self._tokens.append(allowances.set((*allowances.get(), self._allowance)))

    def __exit__(self, *error: object) -> None:
        from txprof.policy import allowances

        try:
            allowances.reset(self._tokens.pop())
        except ValueError:  # left in another context than it was entered in
            kept = list(allowances.get())
            if self._allowance in kept:
                kept.remove(self._allowance)
            allowances.set(tuple(kept))

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    def __call__(self, function: F) -> F:
        """Decorate a function of any kind."""
        from txprof.watching import allowed_function

        return allowed_function(function, self._allowance)


def allow_if(
    predicate: Callable[[Call], object], *, reason: str = "a predicate of the program allows it"
) -> Predicate:
    """Let external calls break their rule where `predicate` says so.

    `txprof.allow_if(lambda call: call.kind == "cache" and call.target == "redis GET")`. It is asked
    of each call that would be a finding, with a `txprof.Call`, before the call goes out. The
    result's `remove()`, or leaving it as a `with` block, takes it back.

    Raises:
        TypeError: for what cannot be called.
        ValueError: for an empty reason.
    """
    from txprof.policy import Predicate

    if not callable(predicate):
        raise TypeError(f"allow_if() takes a function of a call, not {predicate!r}")
    if not isinstance(reason, str) or not reason.strip():
        raise ValueError(f"allow_if() needs a reason that says why, not {reason!r}")
    return Predicate(predicate, reason.strip())


class external_call:
    """Mark I/O that no sensor knows: `with txprof.external_call("rpc", "billing.charge"): ...`

    Args:
        kind: one of `txprof.model.KINDS`, or a word of your own.
        target: what is called, as the report shows it. Keep it free of secrets, and of ids that
            make every call a different one.
    """

    def __init__(self, kind: str, target: str) -> None:
        if kind not in KINDS:
            from txprof.settings import check_kind

            check_kind(kind)
        if not isinstance(target, str):
            raise TypeError(f"target must be a string, not {target!r}")
        if not target.strip():
            raise ValueError("target must say what is called")
        self._kind = kind
        self._target = target
        self._calls: list[ExternalCall | None] = []

    def __enter__(self) -> None:
        # Runs for every call, mostly while nobody watches, or ever did: no import of ours.
        collector = sys.modules.get("txprof.collector")
        if collector is None or not collector.watches():
            self._calls.append(None)
            return
        from txprof.sensors.external import Described, begin

        self._calls.append(begin(Described(self._kind, self._target)))

    def __exit__(self, *error: object) -> None:
        call = self._calls.pop()
        if call is not None:
            call.leave()

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)


class entry:
    """What runs in the block is one entry into the application: a request, a job, a message.

    Repeats are counted within an entry: what each of a hundred requests runs once is no burst. For
    a block that watches the process, or `txprof run`, the code that serves requests or takes jobs
    says so; a profiled function is an entry of its own. Costs next to nothing when nobody watches.
    """

    def __init__(self) -> None:
        self._begun: list[Any] = []

    def __enter__(self) -> None:
        begun: tuple[Any, ...] = ()
        if is_active():
            from txprof.collector import active, begin_calls

            begun = begin_calls(tuple(each for each in active() if each.is_block))
        self._begun.append(begun)

    def __exit__(self, *error: object) -> None:
        begun = self._begun.pop()
        if begun:
            from txprof.collector import end_calls

            end_calls(begun)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)


def is_active() -> bool:
    """Whether a profile watches what runs here."""
    collector = sys.modules.get("txprof.collector")
    return collector is not None and bool(collector.active())


def watch(target: str | Callable[..., Any], *, kind: str, name: str | None = None) -> Watch:
    """Report every call of a function as an external call, for good.

    `txprof.watch("billing.client:Client.charge", kind="rpc")` wraps it when its module is
    imported, now or later; nothing is imported for it. The wrapped function keeps its signature
    and nature. Watching twice wraps once. The result's `unwatch()` puts the original back.

    Args:
        target: "module:attribute", or a function or method that such a name leads to.
        kind: one of `txprof.model.KINDS`, or a word of your own.
        name: how the report shows the call; by default the target.

    Raises:
        ValueError: for a malformed target, an unknown kind, or an attribute that is not there.
        TypeError: for what is neither a string nor a function that can be named.
    """
    from txprof.settings import check_kind
    from txprof.watching import Watch

    return Watch(target, kind=check_kind(kind), name=name)


def load(path: str | PathLike[str]) -> Profile:
    """Read a recording that `Profile.save` or line_profiler's `kernprof` wrote.

    Raises:
        RecordingError: when it cannot be read; names the file, the position and the cause.
    """
    from txprof.recording import load
    from txprof.results import Profile

    return Profile.of(load(path))


def merge(*profiles: Profile) -> Profile:
    """One profile of several, of one machine or of many, in any order."""
    from txprof.recording import merge
    from txprof.results import Profile

    for profile in profiles:
        if not isinstance(profile, Profile):
            raise TypeError(f"merge() takes profiles (see txprof.load), not {profile!r}")
    return Profile.of(merge(profile.recorded for profile in profiles))


def open_connections() -> list[OpenConnection]:
    """The connections that are checked out now, of every engine, oldest first.

    Known are those that were taken since the first profile, or `Harness.take_over`.
    """
    from txprof.pool.opened import open_connections

    return open_connections()


def uninstall() -> None:
    """Take every sensor and watch out, and put the originals back."""
    if "txprof.pool.explain" in sys.modules:
        from txprof.pool import explain

        explain.undo_all()
    if "txprof.sensors" in sys.modules:
        from txprof import sensors, watching

        watching.unwatch_all()
        sensors.uninstall()
