"""The functions of the main module: they come into being while the program runs already.

No import tells of them. On CPython 3.12 and newer the code of the module is asked when it starts:
the functions in it are timed before there are any. On 3.11, where only functions can be timed, its
lines are followed until the last of its definitions stands.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from txprof.collector import Collector
from txprof.lines import LineTimer, timer
from txprof.lines.files import nested
from txprof.lines.names import Names
from txprof.safety import note_once

if TYPE_CHECKING:
    from txprof.lines.monitoring import MonitoringTimer

_TOOL_IDS = (2, 5, 3, 4)
"""In the order in which one is taken until the main module starts: the line timer's come last."""

MAIN = ("__main__", "__mp_main__")
"""What it is called; in a process that multiprocessing spawned, the second."""


def find(names: Names, collector: Collector) -> None:
    """When the main module starts, time what of it is named."""
    engine = timer()
    if sys.version_info >= (3, 12):
        from txprof.lines.monitoring import MonitoringTimer

        assert isinstance(engine, MonitoringTimer)
        _Starting(names, engine, collector)
    elif sys.gettrace() is None:
        sys.settrace(_Defining(names, engine, collector).started)


def _names_of(code: CodeType, namespace: dict[str, Any]) -> tuple[str, ...]:
    """What it goes by: `__main__`, `app.jobs` of `-m app.jobs`, `batch` of batch.py."""
    spec = namespace.get("__spec__")
    stem = code.co_filename.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
    return ("__main__", *([spec.name] if spec is not None else []), stem)


def _is_main(frame: FrameType) -> bool:
    return frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") in MAIN


class _Starting:
    """Waits for the main module's code to start."""

    def __init__(self, names: Names, timer: MonitoringTimer, collector: Collector) -> None:
        self._names = names
        self._timer = timer
        self._collector = collector
        monitoring = sys.monitoring
        for tool in _TOOL_IDS:
            if monitoring.get_tool(tool) is None:
                self._tool = tool
                monitoring.use_tool_id(tool, "txprof main module")
                start = monitoring.events.PY_START
                monitoring.register_callback(tool, start, self._started)
                monitoring.set_events(tool, start)
                break

    def _started(self, code: CodeType, _offset: int) -> None:
        frame = sys._getframe(1)
        if not _is_main(frame):
            return
        try:
            sys.monitoring.set_events(self._tool, 0)
            sys.monitoring.free_tool_id(self._tool)
            found = self._names.of_main(nested(code), _names_of(code, frame.f_globals))
            self._timer.attach_codes(found, self._collector, by_name=False)
        except Exception as error:
            note_once("line times of the main module", error)


class _Defining:
    """Follows the main module's own lines, until the last definition of its code stands."""

    def __init__(self, names: Names, timer: LineTimer, collector: Collector) -> None:
        self._names = names
        self._timer = timer
        self._collector = collector
        self._known: set[int] = set()
        self._last = 0

    def started(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event != "call" or not _is_main(frame):
            return None
        constants = frame.f_code.co_consts
        lines = [each.co_firstlineno for each in constants if isinstance(each, CodeType)]
        self._last = max(lines, default=0)
        return self._line

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            try:
                self._find(frame)
            except Exception as error:
                note_once("line times of the main module", error)
            if frame.f_lineno > self._last:
                sys.settrace(None)
        return self._line

    def _find(self, frame: FrameType) -> None:
        """Attach what stands by now."""
        module = ModuleType(frame.f_globals["__name__"])
        vars(module).update(frame.f_globals)
        names = _names_of(frame.f_code, frame.f_globals)
        found = self._names.main_functions(module, names)
        new = [function for function in found if id(function) not in self._known]
        self._known.update(map(id, new))
        self._timer.attach(new, self._collector, by_file=True)
