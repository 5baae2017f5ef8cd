"""Functions to profile by file: "app/research/*.py", "batch.py".

A pattern of paths below the working directory or the project's root, in which `*` and `?` do not
cross a `/`, and `**` does. What is written in a matching file counts, wherever its module was
imported from.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from types import CodeType, FunctionType, ModuleType
from typing import Any

from txprof.lines.targets import functions_of

SUFFIX = ".py"

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Files:
    """One pattern of files."""

    by_file = True

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_found = False
        self._pattern = re.compile(_regular(text))
        self._is_absolute = os.path.isabs(text)
        self.is_exact = self._is_absolute and "*" not in text and "?" not in text
        """Whether it is the path of one file."""
        # Asked for every function of every module that is imported meanwhile.
        self._matches = functools.lru_cache(maxsize=4096)(self._look)

    def is_in(self, module: str) -> bool:
        """Whether it may name a function of this module: its name does not tell."""
        return module.partition(".")[0] != "txprof"

    def matches(self, filename: str) -> bool:
        """Whether code of this file (a `co_filename`) is meant."""
        return self._matches(filename)

    def _look(self, filename: str) -> bool:
        if not filename.endswith(SUFFIX):
            return False
        path = os.path.abspath(filename)
        if self._is_absolute:
            return self._pattern.fullmatch(path) is not None
        from txprof.settings import project_root

        for root in {os.getcwd(), str(project_root())}:
            if path.startswith(root + os.sep):
                below = path[len(root) + 1 :].replace(os.sep, "/")
                if self._pattern.fullmatch(below):
                    return True
        return False

    def functions(self, module: ModuleType) -> list[FunctionType]:
        """What it names in this module."""
        file = vars(module).get("__file__")
        if not isinstance(file, str) or not self.matches(file):
            return []
        found = {
            id(function): function
            for member in list(vars(module).values())
            for function in _functions(member)
            if self.matches(_file_of(function))
        }
        self.is_found = True  # the file is there, whatever is in it
        return list(found.values())

    def names_code(self, code: CodeType, _modules: tuple[str, ...]) -> bool:
        """Whether this function of the main module is meant."""
        return self.matches(code.co_filename)


def is_files(text: str) -> bool:
    """Whether it is a pattern of files, not of functions."""
    return text.endswith(SUFFIX) and ":" not in text


def nested(code: CodeType) -> Iterator[CodeType]:
    """The functions that are written in this code, at any depth; no lambdas, no comprehensions."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & CO_OPTIMIZED and not constant.co_name.startswith("<"):
                yield constant
            yield from nested(constant)


def _file_of(function: FunctionType) -> str:
    """Where a function is written, also while our own prologue stands in for its code (3.11)."""
    file = function.__code__.co_filename
    if file.startswith(_OWN):
        file = str(function.__globals__.get("__file__"))
    return file


def _functions(member: Any) -> list[FunctionType]:
    try:
        found = functions_of(member)
    except Exception:  # not a function; or an object that answers any question with an error
        found = []
    if isinstance(member, type):
        for inner in list(vars(member).values()):
            if isinstance(inner, type) and inner.__qualname__.startswith(member.__qualname__ + "."):
                found = [*found, *_functions(inner)]
    return found


def _regular(text: str) -> str:
    """The pattern as a regular expression, in which nothing but `*` and `?` is special."""
    special = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", text)
    return "".join(special.get(part) or re.escape(part) for part in parts)
