"""Functions to profile by name: "app.jobs:process", "app.research:Researcher.*", "app.*:*".

Both sides may be shell patterns. Or by the file they are written in: `lines/files.py`. What is not
imported yet is found when it is; nothing is imported for it.
"""

from __future__ import annotations

import difflib
import fnmatch
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import wrapt

from txprof.lines.files import SUFFIX, Files, is_files
from txprof.lines.targets import functions_of, methods_of
from txprof.safety import note_once
from txprof.sensors.placing import half_imported

logger = logging.getLogger("txprof")

_NAME = re.compile(r"(?P<module>[\w.*?\[\]!-]+):(?P<function>[\w.*?\[\]!-]+)")
_WILD = re.compile(r"[*?\[]")

Found = Callable[[Iterable[FunctionType], bool], None]
"""Takes functions, and whether they were named by their file: then those nested in them count."""


class Name:
    """One name or pattern, "module:function"."""

    by_file = False

    def __init__(self, text: str) -> None:
        match = _NAME.fullmatch(text)
        if match is not None and match["module"].endswith(SUFFIX):
            # Refused at once: it would lead nowhere, which is told only when the program has run.
            stem, function = match["module"].removesuffix(SUFFIX), match["function"]
            raise ValueError(
                f"profile() was given {text!r}: a function is named with its module, not with its "
                f"file: '{stem}:{function}'; or give the whole file, '{stem}{SUFFIX}'"
            )
        if match is None:
            raise ValueError(
                f"profile() was given {text!r}: a function's name is 'module:function', "
                "such as 'app.jobs:process' or 'app.research:*'; or give a file, 'app/jobs.py'"
            )
        self.text = text
        self.module = match["module"]
        self.function = match["function"]
        self.is_found = False

    def is_in(self, module: str) -> bool:
        """Whether it may name a function of this module."""
        return fnmatch.fnmatchcase(module, self.module)

    def functions(self, module: ModuleType) -> list[FunctionType]:
        """What it names in this module."""
        found = list(self._functions(module))
        self.is_found = self.is_found or bool(found)
        return found

    def _functions(self, module: ModuleType) -> Iterator[FunctionType]:
        if not _WILD.search(self.function):
            member: Any = module
            for part in self.function.split("."):
                member = getattr(member, part, None)
            if member is not None:
                yield from functions_of(member)
            return
        for name, member in _members(vars(module), module.__name__):
            if fnmatch.fnmatchcase(name, self.function):
                try:
                    yield from functions_of(member)
                except TypeError:  # a class without methods, a builtin
                    pass

    def names_code(self, code: CodeType, modules: tuple[str, ...]) -> bool:
        """Whether it names this function of a module that goes by any of these names."""
        if not any(map(self.is_in, modules)):
            return False
        of_class = not _WILD.search(self.function) and f"{self.function}."
        return fnmatch.fnmatchcase(code.co_qualname, self.function) or bool(
            of_class and code.co_qualname.startswith(of_class)
        )

    def missing_in(self, module: ModuleType) -> str:
        """What to say when an exact name is not there."""
        names = [name for name, _ in _members(vars(module), module.__name__)]
        near = difflib.get_close_matches(self.function, names, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        return f"profile({self.text!r}): {module.__name__} has no {self.function!r}{meant}"


def named(text: str) -> Name | Files:
    """What a text names; ValueError for one that is no name."""
    return Files(text) if is_files(text) else Name(text)


class Names:
    """The functions that several names lead to, while a block runs."""

    def __init__(self, texts: Iterable[str], *, before_main: bool = False) -> None:
        self._names = [named(text) for text in texts]
        self._before_main = before_main
        """Whether the main module is yet to start: it need not have what it is said to have."""
        self._found: Found | None = None

    def loaded(self) -> list[tuple[list[FunctionType], bool]]:
        """Those in modules that are imported already; ValueError for an exact name that is not."""
        found: list[tuple[list[FunctionType], bool]] = []
        if not self._names:  # most blocks; there are thousands of modules
            return found
        # Of a copy: threads import meanwhile. By type: who is asked for its class may import, too.
        modules = [
            each for each in sys.modules.copy().items() if issubclass(type(each[1]), ModuleType)
        ]
        by_path: dict[str, list[ModuleType]] = {}
        for name in self._names:
            if isinstance(name, Files) and name.is_exact:  # perhaps one of hundreds
                if not by_path:
                    for _, module in modules:
                        by_path.setdefault(str(vars(module).get("__file__")), []).append(module)
                candidates = by_path.get(name.text, [])
            else:
                candidates = [module for module_name, module in modules if name.is_in(module_name)]
            found += [(name.functions(module), name.by_file) for module in candidates]
            if isinstance(name, Files) or _WILD.search(name.text):
                continue
            if name.module == "__main__" and self._before_main:
                continue
            exact = sys.modules.get(name.module)
            if exact is not None and not name.is_found and not half_imported(exact):
                raise ValueError(name.missing_in(exact))
        return found

    def start(self, found: Found) -> None:
        """From now on, `found` is called with those of each module that is imported."""
        if self._names:
            self._found = found
            # wrapt's finder must be there before ours asks it to wait for a module.
            wrapt.register_post_import_hook(lambda _module: None, "txprof.lines.names")
            sys.meta_path.insert(0, self)

    def of_main(self, codes: Iterable[CodeType], modules: tuple[str, ...]) -> list[CodeType]:
        """Those among the main module's functions; it goes by any of these names."""
        found = []
        for code in codes:
            for name in self._names:
                if name.names_code(code, modules):
                    name.is_found = True
                    found.append(code)
                    break
        return found

    def main_functions(self, module: ModuleType, modules: tuple[str, ...]) -> list[FunctionType]:
        """The same as functions, of those that stand already."""
        return [
            function
            for name in self._names
            if name.by_file or any(map(name.is_in, modules))
            for function in name.functions(module)
        ]

    def stop(self, *, tell: bool = True) -> None:
        """No more; says which names led nowhere, lest a typing mistake pass for a clean profile."""
        self._found = None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name in self._names:
            if tell and not name.is_found:
                logger.warning(
                    "txprof: profile(%r) matched no function of an imported module", name.text
                )

    def find_spec(self, module: str, _path: Any = None, _target: Any = None) -> None:
        """A finder (`sys.meta_path`) that finds nothing, and sees what is imported."""
        if any(name.is_in(module) for name in self._names):
            wrapt.register_post_import_hook(self._imported, module)

    def _imported(self, module: ModuleType) -> None:
        try:
            for name in self._names:
                if self._found is not None and name.is_in(module.__name__):
                    self._found(name.functions(module), name.by_file)
        except Exception as error:
            note_once("profiling by name", error)


def _members(namespace: Any, module: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The functions and classes that a module itself defines: `Researcher`, `Researcher.exec`."""
    for name, member in list(namespace.items()):
        if isinstance(member, type):
            if member.__module__ != module or member.__qualname__ != f"{prefix}{name}":
                continue  # imported, or another name for it
            for method, function in methods_of(member).items():
                yield f"{prefix}{name}.{method}", function
            yield from _members(vars(member), module, f"{prefix}{name}.")
        elif not prefix and callable(member) and getattr(member, "__module__", None) == module:
            yield name, member
