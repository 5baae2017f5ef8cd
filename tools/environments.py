"""Environments of their own, in .venvs/, for what is run on other Pythons or with other libraries.

Each is kept for the next time, until something changes that it was made of. Needs nothing but the
standard library.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venvs"

BUILT_FROM = ("pyproject.toml", "hatch_build.py", "txprof/*.[ch]")
"""What an installed txprof is made of besides Python, which an editable one reads where it is."""


def environment(
    name: str,
    python: str,
    requirements: Sequence[str],
    *,
    extra: str = "",
    welcome: Sequence[str] = (),
) -> Path:
    """The interpreter of an environment with txprof in it; made first if need be.

    Args:
        name: of its folder in .venvs/.
        python: the interpreter that it is made of.
        requirements: what to install beside txprof.
        extra: the extra of txprof's to install.
        welcome: what to install too, but to say and leave out where that cannot be done.

    Raises:
        subprocess.CalledProcessError: where it cannot be made, or a requirement not be installed.
    """
    folder = FOLDER / name
    what = repr((python, requirements, extra, welcome)).encode()
    for pattern in BUILT_FROM:
        what += b"".join(file.read_bytes() for file in sorted(ROOT.glob(pattern)))
    wanted = hashlib.sha256(what).hexdigest()
    stamp = folder / ".installed"
    inside = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        txprof = f"{ROOT}[{extra}]" if extra else str(ROOT)
        subprocess.run([*pip, "--editable", txprof, *requirements], check=True)
        for one in welcome:
            if subprocess.run([*pip, one, *requirements], check=False).returncode:
                print(f"{one} cannot be installed here: it is left out", file=sys.stderr)
        stamp.write_text(wanted)
    return inside
