"""External calls: told from nested layers, judged before they go out, timed until they return."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import replace
from types import CoroutineType
from typing import Any, NamedTuple

from txprof import collector, context, policy, safety
from txprof.around import Unstarted, Wrapper, around
from txprof.clock import clock
from txprof.recorded import CallRow
from txprof.safety import Fuses, drop_own_frame, name_of, note_once
from txprof.sensors import placing, transactions
from txprof.sensors.judging import News, judged, minimum
from txprof.sensors.placing import only_where
from txprof.sensors.streams import Streams, keep_all


class Described(NamedTuple):
    """An external call as its sensor names it; `host` is "name:port" where there is one.

    `follows` is an earlier call that will be part of it: who was told of that knows.
    """

    kind: str
    target: str
    host: str | None = None
    follows: ExternalCall | None = None


Describe = Callable[[Any, tuple[Any, ...], dict[str, Any]], Described | None]
"""(instance, args, kwargs) -> what the call is; None if it is no external call."""

Started = Callable[["ExternalCall", Any], None]
"""(call, instance) -> None: told when a call has started, before anything goes out."""


class ExternalCall:
    """One call under way. Whatever layers it crosses beneath are part of it.

    Its time is what passes between `enter` and `leave`, as often as it is entered.
    """

    __slots__ = (
        "_due",
        "_rows",
        "_since",
        "_token",
        "_total",
        "described",
        "minimum",
        "undecided",
    )

    def __init__(
        self,
        described: Described | None,
        rows: list[CallRow],
        due: list[CallRow] | None = None,
        undecided: bool = False,
    ) -> None:
        self.described = described
        self._rows = rows
        self._due = due
        """Those for which the server is asked who waits, as it returns."""
        self._total = 0.0
        self._since = 0.0
        self._token: Token[ExternalCall | None] | None = None
        self.undecided = undecided
        """Whether the owner of an open hold may yet come to wait for it: asked again at the end."""
        self.minimum: float | None = None
        """The seconds from which on it is a finding, if the settings have some for its kind."""

    def enter(self) -> None:
        """From here on, deeper layers are this call."""
        self._token = _ongoing.set(self)
        self._since = clock.now()

    def leave(self) -> None:
        """It returned or raised: its time goes to the line that made it."""
        token = self._token
        if token is None:
            return
        self._token = None
        seconds = clock.now() - self._since
        try:
            _ongoing.reset(token)
        except ValueError:  # ended in another context than it began in
            pass
        if self.undecided and self.described is not None and not self.mixes():
            self.undecided = False
            if _is_open_still():
                self._judge_late(self.described)
        took = self._total + seconds
        if self.minimum is not None and took >= self.minimum and _is_open_still():
            self._judge_again(took)
        self._total = took
        rows = self._rows
        if rows and self.described is not None and context.holds_here.get():
            try:
                transactions.called(rows[0], self.described.target, self._since, seconds)
            except Exception as error:
                note_once("an external call in its transaction", error)
        for row in rows:
            row.seconds += seconds
            if took > row.longest:
                row.longest = took
        if self._due:
            due, self._due = self._due, None
            _inspect(due)

    def _judge_again(self, took: float) -> None:
        """It has taken as long as a finding has to."""
        if self.described is None:
            return
        for row in self._rows:
            row.seconds -= self._total
        self._judge_late(self.described, took)
        for row in self._rows:
            row.seconds += self._total
        self.minimum = minimum(self.described.kind, above=took)

    def _judge_late(self, described: Described, took: float = 0.0) -> None:
        """What it was, now that it is over; `on_finding` is told of what is wrong with it."""
        self.take_back()
        found = judged(described, late=True, took=took)
        if found[1]:
            _react(found[1], late=True)
        self._rows, _, self._due, *_ = found

    def end(self, *, failed: bool) -> None:
        """Nothing is left to do: it is a span (`txprof.around`)."""

    @property
    def rows(self) -> list[CallRow]:
        """Those that it counts in, one a watcher."""
        return self._rows

    @property
    def entered(self) -> bool:
        """Whether it is running just now."""
        return self._token is not None

    def mixes(self) -> bool:
        """Whether it started while something was open."""
        for row in self._rows:  # noqa: SIM110  (any() takes twice as long)
            if row.state != "free":
                return True
        return False

    def take_back(self) -> None:
        """It is counted elsewhere: rows without calls are dropped from the snapshot."""
        for row in self._rows:
            row.count -= 1
        self._rows = []

    def take_over(self, earlier: ExternalCall) -> None:
        """An earlier call was made for the sake of this one: they are one, and it is here."""
        if not self._rows or earlier.mixes() != self.mixes():
            return
        seconds = earlier._total
        for row in earlier._rows:
            row.seconds -= seconds
        earlier.take_back()
        self._total += seconds
        for row in self._rows:
            row.seconds += seconds

    def __reduce__(self) -> Any:
        return type(None), ()  # it hangs on the library's objects, whose copies go without


def _is_open_still() -> bool:
    """Whether something is open as a call ends."""
    try:
        return bool(context.open_here(late=True))
    except Exception as error:
        note_once("the end of an external call", error)
        return False


_ongoing: ContextVar[ExternalCall | None] = ContextVar("txprof_external_call", default=None)


def is_nested() -> bool:
    """Whether an outer layer is a call already. Tasks may inherit one that is long over."""
    outer = _ongoing.get()
    return outer is not None and outer.entered


def may_begin(_instance: object) -> bool:
    """Whether a call here is one to report: the layers beneath one step out of its way at once."""
    if not (collector.everywhere or collector.watching_here.get()):
        return False
    outer = _ongoing.get()  # `is_nested`, without a call
    return outer is None or outer._token is None


def watched(
    describe: Describe, streams: Streams | None = None, started: Started | None = None
) -> Wrapper:
    """A wrap that reports each outermost call of a function as an external call."""

    @only_where(may_begin)
    def sensor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = begin_described(describe, instance, args, kwargs, started)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if call is not None:
                call.leave()
        if call is not None and streams is not None:
            keep_all(call, streams, result)
        return result

    return sensor


def watched_coroutine(
    describe: Describe, streams: Streams | None = None, started: Started | None = None
) -> Wrapper:
    """The same for a coroutine function; the call lasts until it has been awaited."""

    @only_where(collector.watches)
    def sensor(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            made = wrapped(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        # Else the library changed, or a mock is in its place; it may not like to be asked either.
        if type(made) is not CoroutineType and not issubclass(type(made), Coroutine):
            return made
        return awaited(made, describe, instance, args, kwargs, streams, started)

    return sensor


def awaited(
    coroutine: Any,
    describe: Describe,
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    streams: Streams | None = None,
    started: Started | None = None,
) -> Any:
    """What to await in the place of a coroutine, so that it is reported as an external call.

    Anything that can be awaited and closed will do for one.
    """
    if not collector.active():
        return coroutine
    unstarted = Unstarted(coroutine)

    async def run() -> Any:
        coroutine = unstarted.take()
        try:
            call = begin_described(describe, instance, args, kwargs, started)
        except BaseException:
            coroutine.close()
            raise
        try:
            result = await coroutine
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if call is not None:
                call.leave()
        if call is not None and streams is not None:
            keep_all(call, streams, result)
        return result

    ours: Any = run()
    for name in ("__name__", "__qualname__"):
        text = getattr(coroutine, name, None)
        if isinstance(text, str):
            setattr(ours, name, text)
    return ours


def in_process(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A wrap of what calls an application in this process: no layer beneath it is a call."""
    part_of_a_call = around(wrapped, lambda: ExternalCall(None, []))
    try:
        return part_of_a_call(wrapped, instance, args, kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise


def begin_described(
    describe: Describe,
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    started: Started | None = None,
) -> ExternalCall | None:
    """Describe and start a call, or None if nobody watches or it is part of an outer one."""
    if not (may_begin(instance) and placing.installed()):
        return None
    failures = descriptions.failures
    if failures and descriptions.is_off(describe):
        return None
    try:
        described = describe(instance, args, kwargs)
    except Exception as error:
        descriptions.failed(describe, f"the description by {name_of(describe)}", error)
        return None
    if failures:
        descriptions.worked(describe)
    if described is None:
        return None
    call = _begin(described)
    if started is not None:
        try:
            started(call, instance)
        except Exception as error:
            note_once(f"what follows from a call, by {name_of(started)}", error)
    return call


descriptions = Fuses()
"""What sensors made of their libraries' calls until those changed."""


def begin(described: Described) -> ExternalCall | None:
    """A call starts here: judged, counted, entered; raises only what `on_finding` asks for.

    None if it is part of another call.
    """
    return None if is_nested() else _begin(described)


def _begin(described: Described) -> ExternalCall:
    rows, news, due, undecided, timed = judged(described, late=False)
    if news:
        _react(news, late=False)
    call = ExternalCall(described, rows, due, undecided)
    if timed and context.holds_here.get():
        try:
            call.minimum = minimum(described.kind, above=0.0)
        except Exception as error:
            note_once("the start of an external call", error)
    call.enter()
    return call


@contextmanager
def aside() -> Iterator[None]:
    """What runs here runs for us, were it a callable of the user's: no call of the program's."""
    part = ExternalCall(None, [])
    part.enter()
    try:
        yield
    finally:
        part.leave()


safety.aside = aside


def _inspect(due: list[CallRow]) -> None:
    from txprof.sensors import inspecting

    with aside():
        inspecting.inspect_call(due)


def _react(findings: list[News], *, late: bool) -> None:
    from txprof.rules import external_io

    with aside():
        for watcher, key, row in findings:
            try:
                told = watcher.redact.row(replace(row, target=key[3], count=1))
                finding = external_io.finding_of(key[0], key[1], [told])
            except Exception as error:
                note_once("the report of an external call", error)
            else:
                policy.react(watcher, finding, key, late=late)
