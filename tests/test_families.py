"""A family of sensors is imported when a library of it is, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from txprof.sensors import families

IMPORTED = "print(*sorted(name for name in sys.modules if name.startswith('txprof.sensors.')))"


def imported(*lines: str) -> set[str]:
    """The sensors that a program has imported when it is through."""
    code = "\n".join(("import sys", *lines, IMPORTED))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.removeprefix("txprof.sensors.") for name in done.stdout.split()}


@pytest.mark.parametrize("family", families.FAMILIES)
def test_the_table_names_the_modules_that_a_family_wraps(family: str) -> None:
    wrapped = {target.module for one in families.clients(family) for target in one.targets}

    assert set(families.FAMILIES[family]) == wrapped


def test_a_family_without_its_libraries_is_not_imported() -> None:
    found = imported("import txprof", "with txprof.profile(): pass")

    assert found.isdisjoint({"mail", "cache", "aws", "kafka", "sockets"})
    assert "sleep" in found


def test_a_family_is_imported_with_its_library() -> None:
    before = imported("import smtplib, txprof", "with txprof.profile(): pass")
    after = imported("import txprof", "with txprof.profile(): pass", "import smtplib")

    assert "mail" in before & after


def test_a_library_that_came_by_another_way_is_seen_when_the_next_profile_begins() -> None:
    found = imported(
        "import txprof, types",
        "with txprof.profile(): pass",
        "module = types.ModuleType('smtplib')",
        "module.SMTP = type('SMTP', (), {'sendmail': lambda self, *arguments: None})",
        "sys.modules['smtplib'] = module",
        "with txprof.profile(): pass",
        "from txprof.sensors import placing",
        "assert placing.is_in(module.SMTP, 'sendmail')",
    )

    assert "mail" in found


def test_a_library_imported_while_the_sensors_are_out_is_seen_when_they_are_in_again() -> None:
    found = imported(
        "import txprof",
        "with txprof.profile(): pass",
        "txprof.uninstall()",
        "import smtplib",
        "assert 'txprof.sensors.mail' not in sys.modules",
        "with txprof.profile(): pass",
        "from txprof.sensors import placing",
        "assert placing.is_in(smtplib.SMTP, 'sendmail')",
    )

    assert "mail" in found
