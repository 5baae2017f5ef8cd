"""What a call's target shows, and what it never does."""

from __future__ import annotations

import contextlib
import http.client
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import urllib3
from helpers import ApiServer, assert_clean, assert_flagged, calls_seen
from http_clients import CLIENTS, REFUSED, Send, everything_said, transaction, unused_port
from sqlalchemy import Engine

import txprof

TAKES_USER_INFO = [name for name in CLIENTS if name not in ("urllib.request", "http.client")]


def targets(profile: txprof.Profile) -> list[str]:
    return [target for _, target, _ in calls_seen(profile)]


def test_the_target_is_method_scheme_host_port_and_path(api: ApiServer, send: Send) -> None:
    with txprof.profile() as prof:
        send("PATCH", api.url("/v1/products/7"))
    assert targets(prof) == [f"PATCH {api.url('/v1/products/7')}"]


def test_query_headers_and_body_are_never_shown(
    engine: Engine, api: ApiServer, send: Send, tmp_path: Path
) -> None:
    headers = {"Authorization": "Bearer in-header", "Content-Type": "text/plain"}
    with txprof.profile() as prof, transaction(engine):
        send("POST", api.url("/ok?key=in-query"), body=b"in-body", headers=headers)
    assert_flagged(prof, "io-in-transaction", count=1)
    assert targets(prof) == [f"POST {api.url('/ok')}"]
    said = everything_said(prof, tmp_path)
    assert api.url("/ok") in said
    assert not [secret for secret in ("in-header", "in-query", "in-body") if secret in said]


@pytest.mark.parametrize("client", TAKES_USER_INFO)
def test_user_info_and_fragment_are_never_shown(
    engine: Engine, api: ApiServer, client: str, tmp_path: Path
) -> None:
    url = f"http://someone:in-user-info@{api.host}/ok#in-fragment"
    with txprof.profile(url_query=True) as prof, transaction(engine):
        CLIENTS[client]("GET", url)
    assert_flagged(prof, "io-in-transaction", count=1)
    assert targets(prof) == [f"GET {api.url('/ok')}"]
    said = everything_said(prof, tmp_path)
    assert not [part for part in ("someone", "in-user-info", "in-fragment") if part in said]


def test_the_query_is_shown_when_the_settings_say_so(api: ApiServer, send: Send) -> None:
    with txprof.profile(url_query=True) as prof:
        send("GET", api.url("/ok?page=2"))
    assert targets(prof) == [f"GET {api.url('/ok?page=2')}"]


def test_a_url_in_the_query_is_no_part_of_the_target(api: ApiServer, send: Send) -> None:
    with txprof.profile() as prof:
        send("GET", api.url("/ok?next=http://elsewhere.example/path"))
    assert targets(prof) == [f"GET {api.url('/ok')}"]


def test_an_ipv6_host_keeps_its_brackets(send: Send) -> None:
    url = f"http://[::1]:{unused_port()}/ok"
    with txprof.profile() as prof, pytest.raises(REFUSED):
        send("GET", url)
    assert targets(prof) == [f"GET {url}"]


def _answered(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://api.example.com/v1/chat", "GET https://api.example.com/v1/chat"),
        ("https://api.example.com:443/v1/chat", "GET https://api.example.com/v1/chat"),
        ("https://api.example.com:8443/v1", "GET https://api.example.com:8443/v1"),
        ("HTTP://API.Example.com:80", "GET http://api.example.com/"),
        ("http://api.example.com?a=b", "GET http://api.example.com/"),
    ],
)
def test_the_port_is_shown_unless_it_is_the_schemes_own(url: str, target: str) -> None:
    with (
        txprof.profile() as prof,
        httpx.Client(transport=httpx.MockTransport(_answered)) as client,
    ):
        client.get(url)
    assert targets(prof) == [target]


def test_layers_name_the_same_call_alike() -> None:
    port = unused_port()
    expected = [f"GET http://127.0.0.1:{port}/ok"]
    for send in CLIENTS.values():
        with txprof.profile() as prof, contextlib.suppress(*REFUSED):
            send("GET", f"http://127.0.0.1:{port}/ok")
        assert targets(prof) == expected


def test_an_https_connection_without_a_port_shows_none() -> None:
    connection = http.client.HTTPSConnection("localhost", timeout=0.2)
    with txprof.profile() as prof, contextlib.suppress(OSError):
        connection.request("GET", "/v1")
    connection.close()
    assert targets(prof) == ["GET https://localhost/v1"]


def test_the_target_through_a_proxy_is_what_lies_behind_it(api: ApiServer) -> None:
    before = len(api.requests)
    with txprof.profile() as prof:
        with requests.Session() as session:
            session.get("http://a.example/b?c=d", proxies={"http": api.url("/")}, timeout=5)
        with urllib3.ProxyManager(api.url("/")) as manager:
            manager.request("GET", "http://a.example/b?c=d")
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=5)
        connection.request("GET", "http://a.example/b?c=d")
        connection.getresponse().read()
        connection.close()
    assert api.requests[before:] == ["GET http://a.example/b?c=d"] * 3
    assert calls_seen(prof) == [("http", "GET http://a.example/b", 3)]


def test_the_target_through_a_tunnel_is_what_lies_behind_it() -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", unused_port(), timeout=1)
    connection.set_tunnel("api.example.com")
    with txprof.profile() as prof, pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/v1")
    connection.close()
    assert targets(prof) == ["GET https://api.example.com/v1"]


@pytest.mark.parametrize("scheme", ["file", "data"])
def test_what_urllib_reads_from_a_file_or_its_own_url_is_not_external(
    engine: Engine, tmp_path: Path, scheme: str
) -> None:
    (tmp_path / "a.txt").write_text("text")
    url = {"file": (tmp_path / "a.txt").as_uri(), "data": "data:,text"}[scheme]
    with txprof.profile() as prof, transaction(engine), urllib.request.urlopen(url) as response:
        assert response.read() == b"text"
    assert_clean(prof)
    assert calls_seen(prof) == []


def _post_with_data(url: str) -> Any:
    return urllib.request.urlopen(url, data=b"a", timeout=5)


def _post_a_request_with_data(url: str) -> Any:
    return urllib.request.urlopen(urllib.request.Request(url), data=b"a", timeout=5)


@pytest.mark.parametrize("post", [_post_with_data, _post_a_request_with_data])
def test_urllib_posts_when_it_is_given_data(api: ApiServer, post: Any) -> None:
    before = len(api.requests)
    with txprof.profile() as prof, post(api.url()):
        pass
    assert api.requests[before:] == ["POST /ok"]
    assert targets(prof) == [f"POST {api.url()}"]
