"""Mail, other programs, sleep and caches: what the contract of all clients does not say."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import platform
import smtplib
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from helpers import assert_clean, assert_flagged, calls_seen, findings_of, line_of
from http_clients import transaction
from servers import message
from sqlalchemy import Engine

import txprof

Address = tuple[str, int]


def at(address: Address, shown: str = "") -> str:
    return f"smtp {address[0]}:{address[1]}{shown}"


# --- mail ---------------------------------------------------------------------------------------


def test_mail_raises_before_it_connects(engine: Engine, smtp_server: Address) -> None:
    with txprof.profile(on_finding="raise"), transaction(engine):
        with (
            pytest.raises(txprof.TransactionHygieneError),
            pytest.warns(txprof.TransactionHygieneWarning),
        ):
            smtplib.SMTP(*smtp_server, timeout=10)


def test_a_connection_made_before_the_transaction_is_a_call_of_its_own(
    engine: Engine, smtp_server: Address
) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        with smtplib.SMTP(*smtp_server, timeout=10) as smtp:
            with transaction(engine):
                smtp.send_message(message())  # send
    assert_flagged(prof, "io-in-transaction", line=line_of("send"), count=1)
    assert calls_seen(prof) == [
        ("mail", at(smtp_server), 1),
        ("mail", at(smtp_server, " (1 recipient)"), 1),
    ]


def test_a_message_sent_before_the_transaction_is_clean(
    engine: Engine, smtp_server: Address
) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        smtp = smtplib.SMTP(*smtp_server, timeout=10)
        smtp.send_message(message())
        with transaction(engine):
            smtp.quit()
    assert_clean(prof)
    assert calls_seen(prof) == [("mail", at(smtp_server, " (1 recipient)"), 1)]


def send_async(address: Address) -> None:
    asyncio.run(aiosmtplib.send(message(), hostname=address[0], port=address[1], timeout=10))


def send_sync(address: Address) -> None:
    with smtplib.SMTP(*address, timeout=10) as smtp:
        smtp.send_message(message())


@pytest.mark.parametrize("send", [send_sync, send_async])
def test_a_message_and_the_connection_made_for_it_are_told_once(
    engine: Engine, smtp_server: Address, caplog: pytest.LogCaptureFixture, send: Any
) -> None:
    with txprof.profile() as prof, transaction(engine):
        for _ in range(2):
            send(smtp_server)
    assert [record.levelname for record in caplog.records if record.name == "txprof"] == ["WARNING"]
    assert_flagged(prof, "io-in-transaction", count=2)


def test_a_profile_that_was_not_told_of_the_connection_is_of_the_message(
    engine: Engine, smtp_server: Address
) -> None:
    told: list[str] = []
    with txprof.profile(on_finding="ignore"), transaction(engine):
        with smtplib.SMTP(*smtp_server, timeout=10) as smtp:
            with txprof.profile(on_finding=lambda finding: told.append(finding.details["target"])):
                smtp.send_message(message())
    assert told == [at(smtp_server, " (1 recipient)")]


def test_no_address_or_content_is_recorded(engine: Engine, smtp_server: Address) -> None:
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        with smtplib.SMTP(*smtp_server, timeout=10) as smtp:
            smtp.send_message(message(cc="c@example.com"))
    assert "@example.com" not in repr(prof.recorded.external_calls)
    assert "secret" not in repr(prof.recorded.external_calls)


def test_the_mail_hosts_of_the_settings_are_allowed(engine: Engine, smtp_server: Address) -> None:
    allowed = [f"{smtp_server[0]}:{smtp_server[1]}"]
    with txprof.profile(on_finding="ignore", allow_hosts=allowed) as prof, transaction(engine):
        with smtplib.SMTP(*smtp_server, timeout=10) as smtp:
            smtp.send_message(message())
    assert findings_of(prof, "io-in-transaction") == []


# --- caches -------------------------------------------------------------------------------------


def test_no_key_or_value_is_recorded(engine: Engine, fake_redis: Any) -> None:
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        with fake_redis.client() as client:
            client.set("secret-key", "secret-value")
            client.execute_command("GET secret-key")
    assert calls_seen(prof) == [("cache", "redis GET", 1), ("cache", "redis SET", 1)]
    assert "secret" not in repr(prof.recorded.external_calls)


# --- other programs -----------------------------------------------------------------------------


def test_a_program_waited_for_in_a_transaction_is_judged_there(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with transaction(engine):
            process.communicate(b"\n")  # wait
    assert_flagged(prof, "io-in-transaction", line=line_of("wait"), count=1)
    assert [count for _, _, count in calls_seen(prof)] == [1]


def test_the_program_that_python_starts_to_find_out_its_platform_is_no_call(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def popen(process: Any, command: list[str], *_args: Any, **_options: Any) -> None:
        started.append(command)
        raise OSError

    monkeypatch.setattr(platform, "_uname_cache", None)
    txprof.uninstall()
    monkeypatch.setattr(subprocess.Popen, "__init__", popen)
    monkeypatch.setattr(subprocess.Popen, "__del__", lambda _: None)
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        assert platform.uname().processor == ""
    assert started == [["uname", "-p"]]
    assert calls_seen(prof) == []
    txprof.uninstall()


def test_no_argument_of_a_program_is_recorded(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        subprocess.run([sys.executable, "-c", "0", "--token=planted"], check=True)
        subprocess.run("PASSWORD='planted too' true", shell=True, check=True)
        os.system("true planted")
    assert "planted" not in repr(prof.recorded.external_calls)


# --- sleep --------------------------------------------------------------------------------------


def library(name: str, code: str) -> Any:
    """A module that is installed, as its file and name tell."""
    module = types.ModuleType(name)
    exec(compile(code, f"/x/site-packages/{name}.py", "exec"), vars(module))
    return module


@pytest.mark.parametrize(("name", "seen"), [("some_pool", []), ("tenacity", ["time.sleep"])])
def test_a_library_sleeps_for_its_own_reasons_unless_it_retries(
    engine: Engine, name: str, seen: list[str]
) -> None:
    nap = library(name, "import time\ndef nap(): time.sleep(0.001)").nap
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        nap()
    assert [target for _, target, _ in calls_seen(prof)] == seen


def test_sleep_within_a_call_is_part_of_it(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof, transaction(engine):
        with txprof.external_call("rpc", "billing"):
            time.sleep(0.001)
            asyncio.run(asyncio.sleep(0.001))
    assert calls_seen(prof) == [("rpc", "billing", 1)]


def test_sleep_is_what_it_was_and_pickles() -> None:
    txprof.uninstall()
    functions = time.sleep, asyncio.sleep, os.system
    with txprof.profile():
        assert pickle.loads(pickle.dumps(time.sleep)) == time.sleep
        assert asyncio.iscoroutinefunction(asyncio.sleep)
    txprof.uninstall()
    assert all(
        now is then
        for now, then in zip((time.sleep, asyncio.sleep, os.system), functions, strict=True)
    )


def test_what_was_imported_by_name_is_the_original_again(tmp_path: Path) -> None:
    code = """
import json, time
from time import sleep as before
import txprof
with txprof.profile() as prof:
    from time import sleep as within
    before(0.001)
    within(0.001)
txprof.uninstall()
seen = [[row.target, row.count] for row in prof.recorded.external_calls]
print(json.dumps([seen, before is time.sleep, within is time.sleep, type(before).__name__]))
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", program], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    seen, before, within, kind = json.loads(done.stdout)
    assert sum(count for _, count in seen) == 2
    assert (before, within, kind) == (True, True, "builtin_function_or_method")
