# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients choose stays in its field of the log, and no client gets another protocol or a weak cipher."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator

import pytest
from ansible_collections.llmops.inference.tests.unit.roles.vllm_gateway.gateway_box import Box, request, running

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HTTP2_SETTINGS = b"\4\0\0\0\0\0"
ODD = {
    "a long method": request(method="A" * 9000),
    "a method that just fits HAProxy's own field": request(method="A" * 990, path="/" + '"' * 90),
    "a path of escapes": request(path="/" + '"/' * 300),
    "a method of odd letters": request(method="!#$%&'*+-.^_`|~"),
    "quotes": request(path='/"},{"client":"forged"'),
    "a long path": request(path="/" + "x" * 9000),
    "letters beyond ASCII": request(path="/\xff\xfe\x80"),
    "a carriage return": request(path="/a\rforged"),
    "a line feed": request(path="/a\nforged"),
    "a nul": request(path="/a\0b"),
    "an escape": request(path="/a\x1b[31m"),
    "a tab": request(path="/a\tb"),
    "a forged name in a header": request(headers='X-Request-Id: "}\r\n'),
    "a key with quotes": request(key='"}' + "x" * 40),
    "a model with control characters": request(b'{"model": "mini\\u0085\\u2028\\u001b", "prompt": "x"}'),
    "no HTTP": b"\x01\x02{}\r\n\r\n",
}


@pytest.fixture(scope="module")
def box(haproxy: str) -> Iterator[Box]:
    with running(haproxy) as started:
        started.logged()
        yield started


@pytest.mark.parametrize("what", ODD)
def test_a_request_is_a_line_of_json_in_the_log(box: Box, what: str) -> None:
    box.ask(ODD[what])
    (line,) = box.logged()
    entry = json.loads(line)
    assert entry["client"] == "127.0.0.1"
    assert len(line) < 1024, "of longer lines a syslog cuts the end off"
    assert all(character.isprintable() for text in entry.values() for character in str(text))


@pytest.mark.parametrize("tls", [True, False])
def test_nobody_speaks_http_2(haproxy: str, tls: bool) -> None:
    with running(haproxy, vllm_gateway_tls=tls) as box, box.connect(tls) as connection:
        connection.sendall(PREFACE)
        answer = connection.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 400")
        assert HTTP2_SETTINGS not in answer


def test_an_upgrade_to_http_2_is_a_request_like_any_other(box: Box) -> None:
    box.engine.heads.clear()
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    assert box.ask(request(headers=upgrade)) == 200
    assert b"pgrade" not in box.engine.heads[0]


def negotiated(box: Box, ciphers: str, version: ssl.TLSVersion) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_ciphers(ciphers)
    with box.connect(tls=False) as plain, context.wrap_socket(plain) as connection:
        chosen = connection.cipher()
        return chosen[0] if chosen else ""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ciphers_keep_what_was_recorded_secret(box: Box) -> None:
    assert negotiated(box, "DEFAULT", ssl.TLSVersion.TLSv1_3).startswith("TLS_")
    assert negotiated(box, "DEFAULT", ssl.TLSVersion.TLSv1_2).startswith("ECDHE-")
    for weak in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "aNULL@SECLEVEL=0"):
        with pytest.raises(OSError, match=r"(?i)handshake|alert|EOF|reset"):
            negotiated(box, weak, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(OSError, match=r"(?i)handshake|alert|version|protocol|EOF|reset"):
        negotiated(box, "DEFAULT@SECLEVEL=0", ssl.TLSVersion.TLSv1_1)
