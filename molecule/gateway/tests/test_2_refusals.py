# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong with a request, it gets its refusal, and no engine ever sees it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.llmops.inference.molecule.gateway.tests.client import (
    ALICE,
    GATEWAYS,
    PORT,
    PROMPT,
    Arrivals,
    ask,
    body_of,
    exchange,
    no_probes,
    request,
    unverified,
)

GOOD = body_of()
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
SMUGGLED = b"0\r\n\r\n" + request(b"{}", "/invocations", key=None)
LONGEST = 2_097_152

# What HAProxy's parser does not take for HTTP gets HAProxy's own answer; None: no error of ours in it.
REFUSED = {
    "no key": (request(key=None), 401, "missing_api_key"),
    "a wrong key": (request(key="x" * 48), 401, "invalid_api_key"),
    "half a key": (request(key=ALICE[:-1]), 401, "invalid_api_key"),
    "no Bearer": (request(key=None, headers=[f"Authorization: Basic {ALICE}"]), 401, "missing_api_key"),
    "the key in the query": (request(path=f"/v1/completions?api_key={ALICE}", key=None), 401, "missing_api_key"),
    "the key in another header": (request(key=None, headers=[f"X-Api-Key: {ALICE}"]), 401, "missing_api_key"),
    "two keys": (request(headers=["Authorization: Bearer other"]), 400, "bad_request"),
    "an oversized body": (request(body_of(prompt="x" * LONGEST)), 413, "body_too_long"),
    "an oversized length": (request(length=False, headers=["Content-Length: 99999999999"]), 413, "body_too_long"),
    "a length of 32 bits and a little": (
        request(length=False, headers=["Content-Length: 4294967330"]),
        413,
        "body_too_long",
    ),
    "a length of 31 bits": (request(length=False, headers=["Content-Length: 2147483648"]), 413, "body_too_long"),
    "a length of 63 bits": (
        request(length=False, headers=["Content-Length: 9223372036854775807"]),
        413,
        "body_too_long",
    ),
    "more values than are read": (request(body_of(x=[[]] * 70_000)), 400, "invalid_body"),
    "more samples than a minute has": (request(body_of(n=60_001)), 400, "invalid_body"),
    "more prompts than a minute has": (request(body_of(prompt=["a"] * 60_001)), 400, "invalid_body"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, None),
    "long headers": (request(headers=["X-Long: " + "x" * 20_000]), 431, "headers_too_long"),
    "many headers": (request(headers=[f"X-{number}: x" for number in range(200)]), 400, None),
    "no JSON": (request(b"model=mini"), 400, "invalid_body"),
    "nothing": (request(b""), 400, "invalid_body"),
    "half a body of JSON": (request(GOOD[:-1]), 400, "invalid_body"),
    "two bodies of JSON": (request(GOOD + GOOD), 400, "invalid_body"),
    "a list": (request(b"[" + GOOD + b"]"), 400, "invalid_body"),
    "what is no UTF-8": (request(GOOD.replace(b"canary", b"can\xffry")), 400, "invalid_body"),
    "UTF-16": (request(GOOD.decode().encode("utf-16")), 400, "invalid_body"),
    "deep JSON": (request(b'{"model": "mini", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}"), 400, "invalid_body"),
    "no model": (request(b'{"prompt": "x"}'), 400, "invalid_body"),
    "a number as the model": (request(body_of(model=1)), 400, "invalid_body"),
    "two models": (request(b'{"model": "mini", ' + GOOD[1:]), 400, "invalid_body"),
    "two models, one in disguise": (request(b'{"mod\\u0065l": "Qwen/micro", ' + GOOD[1:]), 400, "invalid_body"),
    "an unknown model": (request(body_of(model="gpt")), 404, "model_not_found"),
    "another model's beginning": (request(body_of(model="min")), 404, "model_not_found"),
    "a model with a tail": (request(body_of(model="mini\0")), 400, "invalid_body"),
    "a form": (request(content_type="multipart/form-data; boundary=x"), 415, "unsupported_media_type"),
    "no type": (request(content_type=""), 415, "unsupported_media_type"),
    "chunks": (request(CHUNKED, length=False, headers=["Transfer-Encoding: chunked"]), 411, "length_required"),
    "a length and chunks": (request(SMUGGLED, headers=["Transfer-Encoding: chunked"]), 411, "length_required"),
    "chunks in disguise": (request(SMUGGLED, headers=["Transfer-Encoding: xchunked"]), 400, None),
    "chunks after a space": (request(SMUGGLED, headers=["Transfer-Encoding : chunked"]), 400, None),
    "no length": (request(b"", length=False), 411, "length_required"),
    "two hosts": (request(headers=["Host: other"]), 400, None),
    "two lengths": (request(headers=["Content-Length: 3"]), 400, None),
    "a list of lengths": (request(length=False, headers=[f"Content-Length: 3, {len(GOOD)}"]), 400, None),
    "a signed length": (request(length=False, headers=[f"Content-Length: +{len(GOOD)}"]), 400, None),
    "another version": (request(version="HTTP/2.0"), 400, "bad_request"),
    "no HTTP": (b"let me in\r\n\r\n", 400, None),
    "GET": (request(method="GET"), 405, "method_not_allowed"),
    "a method in small letters": (request(method="post"), 405, "method_not_allowed"),
    "POST of the models": (request(path="/v1/models"), 405, "method_not_allowed"),
    "an absolute address": (request(path="http://gateway/v1/completions"), 400, "bad_request"),
    "an absolute address of another": (request(path="http://10.89.96.51:8002/invocations"), 400, None),
    "a tunnel": (request(path="10.89.96.51:8002", method="CONNECT"), 400, None),
    "a fragment": (request(path="/v1/completions#"), 400, None),
    "backslashes": (request(path="\\v1\\completions"), 400, None),
}

# Of the engine, or on the way there.
PATHS = [
    "/invocations",
    "/v1/../invocations",
    "/v1/completions/../../invocations",
    "/v1/%2e%2e/invocations",
    "/v1/%2E%2E%2Finvocations",
    "/%69nvocations",
    "/v1/.%2e/invocations",
    "/v1/..;/invocations",
    "//invocations",
    "//v1/completions",
    "/v1//completions",
    "/v1/./completions",
    "/v1/completions/",
    "/v1/completions;x",
    "/v1/completions%00",
    "/v1/completions%20",
    "/V1/completions",
    "/v1/complet%69ons",
    "/",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/version",
    "/ping",
    "/load",
    "/tokenize",
    "/detokenize",
    "/scale_elastic_ep",
    "/is_scaling_elastic_ep",
    "/reset_prefix_cache",
    "/sleep",
    "/collective_rpc",
    "/server_info",
    "/start_profile",
    "/v1/load_lora_adapter",
    "/v1/score",
    "/v2/rerank",
    "/inference/v1/generate",
    "/cohere/v2/embed",
]


@pytest.fixture(scope="module")
def arrivals() -> Iterator[Arrivals]:
    with no_probes() as counted:
        yield counted


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused(arrivals: Arrivals, what: str, gateway: str) -> None:
    data, status, code = REFUSED[what]
    answers = exchange(data, gateway)
    assert answers[0].status == status, answers[0].body
    if code is not None:
        assert answers[0].error["code"] == code
        assert answers[0].headers["content-type"] == "application/json"
        assert answers[0].headers["x-request-id"]
    assert all(answer.status >= 400 for answer in answers)


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("path", PATHS)
def test_there_are_no_paths_but_those_of_clients(arrivals: Arrivals, path: str, gateway: str) -> None:
    for method in ("POST", "GET"):
        answer = ask(request(path=path, method=method), gateway)
        assert (answer.status, answer.error["code"]) == (404, "not_found")


def test_a_body_that_does_not_come_is_not_waited_for(arrivals: Arrivals) -> None:
    began = time.monotonic()
    answer = ask(request(GOOD[:-2], length=False, headers=[f"Content-Length: {len(GOOD)}"]))
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert 11 < time.monotonic() - began < 18, "vllm_gateway_body_timeout is 12 s here"


def test_a_body_that_drips_gets_no_more_time_than_one_that_does_not_come(arrivals: Arrivals) -> None:
    began = time.monotonic()
    answer = exchange(request(), pause=1)[0]
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert 11 < time.monotonic() - began < 18, "it would have taken 20 s to come"


def test_headers_that_do_not_come_are_not_waited_for(arrivals: Arrivals) -> None:
    assert ask(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n").status == 408


def _closes(gateway: str, data: bytes, tls: bool) -> bool:
    """Send bytes and no more; returns whether the gateway closes within the bounds of a phase, 30 s, and a margin."""
    with socket.create_connection((GATEWAYS[gateway], PORT), timeout=30) as plain:
        connection = unverified().wrap_socket(plain) if tls else plain
        connection.sendall(data)
        deadline = time.monotonic() + 55
        try:
            while (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                if not connection.recv(1 << 16):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_no_connection_stays_whose_client_stopped(arrivals: Arrivals, gateway: str) -> None:
    waiting = ["Content-Length: 10000"]
    stopped = {
        "before TLS": (b"", False),
        "after TLS": (b"", True),
        "after a path that is none": (request(b"", path="/x", length=False, headers=waiting), True),
        "after no key": (request(b"", key=None, length=False, headers=waiting), True),
        "after a wrong method": (request(b"", method="PUT", length=False, headers=waiting), True),
        "within the body": (request(b"{", length=False, headers=waiting), True),
    }
    with ThreadPoolExecutor(len(stopped)) as pool:
        closed = dict(zip(stopped, pool.map(lambda phase: _closes(gateway, *phase), stopped.values())))
    assert all(closed.values()), closed


def test_none_of_all_that_reached_an_engine(arrivals: Arrivals) -> None:
    assert arrivals.seen() == []
    assert ask(request()).status == 200
    assert len(arrivals.seen()) == 1, "what reaches one is seen here"


def test_what_follows_a_good_request_on_its_connection_is_judged_by_itself(arrivals: Arrivals) -> None:
    arrivals.forget()
    for second, status in ((request(path="/invocations"), 404), (request(key=None), 401)):
        answers = exchange(request() + second + request())
        # The refusal closes, and the third is not read.
        assert [answer.status for answer in answers] == [200, status]
        assert answers[1].headers["connection"] == "close"
    assert [line.split()[1:] for line in arrivals.seen()] == [["POST", "/v1/completions", "200"]] * 2


def test_an_engine_sees_neither_query_nor_key_nor_what_a_client_says_of_its_way(arrivals: Arrivals) -> None:
    arrivals.forget()
    odd = ["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: a", "Forwarded: for=127.0.0.1", "X-Request-Id: mine"]
    odd += ["Connection: close, Authorization", "X-Data-Parallel-Rank: 7", "Upgrade: websocket"]
    answer = ask(request(path=f"/v1/completions?key={ALICE}&echo=1", headers=odd))
    assert answer.status == 200, "the gateway's key for the engine took the place of the client's"
    assert answer.headers["x-request-id"] != "mine"
    assert [line.split()[1:] for line in arrivals.seen()] == [["POST", "/v1/completions", "200"]]


def test_nothing_is_given_away_by_how_it_refuses() -> None:
    answer = ask(request(key="x" * 48))
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "server" not in answer.headers
    assert PROMPT.encode() not in answer.body
