"""Compiles `txprof/_fast.c` where txprof is built, if that is possible; else it is left out.

With it the wheel is for this interpreter and platform, without it for any. `pip install --editable`
puts the compiled file beside its source. It takes the compiler and the flags that the interpreter
itself was built with, so nothing has to be installed for it.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "txprof/_fast.c"


class CompiledShortCut(BuildHookInterface):  # type: ignore[type-arg]
    """The build hook."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a wheel is put together; `version` is "editable" for one that only points here."""
        source = Path(self.root, SOURCE)
        if self.target_name != "wheel" or not can_compile():
            return
        name = source.stem + str(sysconfig.get_config_var("EXT_SUFFIX"))
        if version == "editable":
            compiled(source, source.with_name(name))
            return
        self.folder = tempfile.TemporaryDirectory()
        target = Path(self.folder.name, name)
        if compiled(source, target):
            build_data["force_include"][str(target)] = f"txprof/{name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


def can_compile() -> bool:
    """Whether this is an interpreter whose ordinary extension modules `_fast.c` is written for."""
    return (
        platform.python_implementation() == "CPython"
        and os.name == "posix"
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and not os.environ.get("TXPROF_PURE")
    )


def compiled(source: Path, target: Path) -> bool:
    """Whether there is a compiler that makes a loadable module of the source."""
    part = target.with_name(f"{target.name}.{os.getpid()}")
    flags = sysconfig.get_config_vars("LDSHARED", "CFLAGS", "CCSHARED")
    command = [word for flag in flags for word in shlex.split(str(flag or ""))]
    command += ["-I", sysconfig.get_path("include"), "-I", sysconfig.get_path("platinclude")]
    command += [str(source), "-o", str(part)]
    load = f"""
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
loader = ExtensionFileLoader("txprof._fast", {str(part)!r})
loader.exec_module(module_from_spec(spec_from_file_location("txprof._fast", loader=loader)))
"""
    try:
        for each in (command, [sys.executable, "-c", load]):
            subprocess.run(each, check=True, capture_output=True, timeout=120)
        part.replace(target)  # a process that has the old one loaded keeps it
    except (OSError, subprocess.SubprocessError):
        part.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
        return False
    return True
