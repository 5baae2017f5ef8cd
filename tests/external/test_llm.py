"""SDKs of language models: what is one call, where a streamed answer counts, mocks, platforms."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
import respx
from helpers import assert_clean, assert_flagged, calls_seen, line_of
from http_clients import everything_said, transaction
from llm_clients import SDKS, Sdk, ask, ask_async
from llm_server import CHAT, completion
from loopback import Server
from sqlalchemy import Engine

import txprof
from txprof.clock import clock


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Each SDK."""
    return SDKS[request.param]


def test_a_question_is_shown_by_its_endpoint(engine: Engine, llm: Server, sdk: Sdk) -> None:
    with txprof.profile() as prof, transaction(engine):
        ask(sdk, llm.url, "any")  # call
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.details["kind"] == "http"
    assert finding.details["target"] == f"POST {llm.url}{sdk.path}"
    assert finding.message.startswith(f"HTTP POST {llm.url.removeprefix('http://')}{sdk.path}")


@pytest.mark.parametrize("how", [ask, ask_async])
def test_a_question_asked_again_and_again_is_one_call(
    engine: Engine, llm: Server, sdk: Sdk, how: Callable[..., str]
) -> None:
    before = len(llm.asked)
    with txprof.profile() as prof, transaction(engine):
        with pytest.raises(sdk.module.InternalServerError):
            how(sdk, llm.url, "busy", max_retries=2)  # call
    assert llm.asked[before:] == [sdk.path] * 3
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"POST {llm.url}{sdk.path}", 1)]


def test_a_question_that_raises_is_not_asked(engine: Engine, llm: Server, sdk: Sdk) -> None:
    before = len(llm.asked)
    with txprof.profile(on_finding="raise"), transaction(engine):
        for how in (ask, ask_async):
            with (
                pytest.warns(txprof.TransactionHygieneWarning, match="HTTP POST"),
                pytest.raises(txprof.TransactionHygieneError),
            ):
                how(sdk, llm.url, "any")
    assert llm.asked[before:] == []


def test_neither_key_nor_prompt_nor_answer_is_shown(
    engine: Engine, llm: Server, sdk: Sdk, tmp_path: Path
) -> None:
    with txprof.profile() as prof, transaction(engine):
        assert ask(sdk, llm.url, "any") == "red"
    said = everything_said(prof, tmp_path)
    assert sdk.path in said
    assert not [secret for secret in ("in-key", "in-prompt", '"red"', "'red'") if secret in said]


# --- streamed answers ---------------------------------------------------------------------------


def test_an_answer_streamed_in_a_later_transaction_is_a_finding_at_the_reading_line(
    engine: Engine, llm: Server, sdk: Sdk
) -> None:
    with txprof.profile() as prof, sdk.client(llm.url) as client:
        with sdk.ask(client, "any", stream=True) as stream, transaction(engine):
            assert "".join([sdk.said_in(event) for event in stream]) == "red"  # read
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("http", f"POST {llm.url}{sdk.path}", 1)]


def test_an_answer_streamed_in_asyncio_is_a_finding_at_the_reading_line(
    engine: Engine, llm: Server, sdk: Sdk
) -> None:
    async def work() -> None:
        async with sdk.async_client(llm.url) as client:
            async with await sdk.ask(client, "any", stream=True) as stream:
                with transaction(engine):
                    words = [sdk.said_in(event) async for event in stream]  # read
        assert "".join(words) == "red"

    with txprof.profile() as prof:
        asyncio.run(work())
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)
    assert calls_seen(prof) == [("http", f"POST {llm.url}{sdk.path}", 1)]


def test_the_time_of_a_streamed_answer_is_until_its_end(
    engine: Engine, llm: Server, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with txprof.profile() as prof, transaction(engine), sdk.client(llm.url) as client:
        stream = sdk.ask(client, "any", stream=True)  # call
        (headers,) = [row.seconds for row in prof.recorded.external_calls]
        # From here on a second passes whenever somebody looks at the clock.
        monkeypatch.setattr(clock, "now", itertools.count(0.0).__next__)
        assert "".join([sdk.said_in(event) for event in stream]) == "red"
    finding = assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert finding.seconds is not None
    assert finding.seconds >= headers + 1


def test_a_response_whose_body_is_read_last_counts_where_it_is_read(
    engine: Engine, llm: Server, sdk: Sdk
) -> None:
    with txprof.profile() as prof, sdk.client(llm.url) as client:
        with sdk.streamed(client, "any") as response, transaction(engine):
            assert b"red" in response.read()  # read
    assert_flagged(prof, "io-in-transaction", line=line_of("read"), count=1)


# --- mocks, and applications in the process -----------------------------------------------------

ANSWER = completion(message={"role": "assistant", "content": "mocked"})


def question(client: Any) -> Any:
    return client.chat.completions.create(
        model="any", messages=[{"role": "user", "content": "in-prompt"}]
    )


def test_a_question_answered_by_a_transport_of_the_test_is_a_call(engine: Engine) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    with httpx2.Client(transport=transport) as http, txprof.profile() as prof, transaction(engine):
        answer = question(openai.OpenAI(api_key="k", http_client=http))  # call
    assert answer.choices[0].message.content == "mocked"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"POST https://api.openai.com{CHAT}", 1)]


def test_a_question_answered_by_a_transport_in_asyncio_is_a_call() -> None:
    async def work() -> Any:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
        async with httpx2.AsyncClient(transport=transport) as http:
            return await question(openai.AsyncOpenAI(api_key="k", http_client=http))

    with txprof.profile() as prof:
        assert asyncio.run(work()).choices[0].message.content == "mocked"
    assert calls_seen(prof) == [("http", f"POST https://api.openai.com{CHAT}", 1)]


@pytest.mark.parametrize("first", ["mock", "profile"])
def test_a_question_answered_by_respx_is_a_call(engine: Engine, first: str) -> None:
    txprof.uninstall()
    mocked, profile = respx.mock, txprof.profile()
    with mocked if first == "mock" else profile as entered:
        respx.post(f"https://api.openai.com{CHAT}").respond(json=ANSWER)
        with profile if first == "mock" else mocked as inner, transaction(engine):
            with httpx.Client(verify=False) as http:
                answer = question(openai.OpenAI(api_key="k", http_client=http))  # call
    prof = inner if first == "mock" else entered
    assert answer.choices[0].message.content == "mocked"
    assert isinstance(prof, txprof.Profile)
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)
    assert calls_seen(prof) == [("http", f"POST https://api.openai.com{CHAT}", 1)]


def test_a_question_to_an_application_in_the_process_is_no_call(engine: Engine) -> None:
    def application(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(ANSWER).encode()]

    transport = httpx2.WSGITransport(app=application)
    with httpx2.Client(transport=transport) as http, txprof.profile() as prof, transaction(engine):
        answer = question(openai.OpenAI(api_key="k", http_client=http))
    assert answer.choices[0].message.content == "mocked"
    assert_clean(prof)
    assert calls_seen(prof) == []


def test_what_an_sdk_finds_out_about_its_platform_is_no_call_of_the_programs(
    tmp_path: Path,
) -> None:
    # Their first request starts a program, `uname`: in a process of its own, where it is the first.
    code = """
import asyncio, contextlib, json, platform, subprocess
import openai, txprof
from openai import _base_client

started = []
class Popen(subprocess.Popen):
    def __init__(self, command, *args, **options):
        started.append(command[0])
        super().__init__(command, *args, **options)
subprocess.Popen = Popen

async def ask():
    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(
        api_key="k", base_url="http://127.0.0.1:1/v1", max_retries=0, http_client=http
    ) as client:
        await client.chat.completions.create(model="any", messages=[])

def anew():
    platform._platform_cache.clear()
    platform._uname_cache = None
    _base_client.platform_headers.cache_clear()

with txprof.profile(on_finding="ignore") as prof:
    anew()
    with contextlib.suppress(openai.APIConnectionError):
        openai.OpenAI(
            api_key="k", base_url="http://127.0.0.1:1/v1", max_retries=0,
            http_client=openai.DefaultHttpxClient(verify=False),
        ).chat.completions.create(model="any", messages=[])
    anew()
    with contextlib.suppress(openai.APIConnectionError):
        asyncio.run(ask())
seen = [[row.target, row.count] for row in prof.recorded.external_calls]
print(json.dumps([sorted(seen), started]))
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    seen, started = json.loads(done.stdout)
    assert started == ["uname", "uname"]
    assert sum(count for _, count in seen) == 2
    assert {target for target, _ in seen} == {f"POST http://127.0.0.1:1{CHAT}"}
