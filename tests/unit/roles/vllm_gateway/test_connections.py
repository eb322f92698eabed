# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No connection is held for long by a client that does not do its part, and no long answer is cut for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.llmops.inference.tests.unit.roles.vllm_gateway.gateway_box import (
    Box,
    closed_within,
    request,
    running,
    status,
    version_of,
)

# Seconds; the margins of the tests are wide beside them, and narrow beside the hour that a request may take.
BOUNDS = {"vllm_gateway_header_timeout": 2, "vllm_gateway_body_timeout": 3, "vllm_gateway_client_timeout": 4}
MARGIN = 16
PER_SOURCE = 40

# What a client sends before it stops or drips: whether within TLS, the bytes, and the status that it is told.
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
PHASES = {
    "nothing before TLS": (False, b"", 0),
    "half a TLS handshake": (False, CLIENT_HELLO, 0),
    "nothing after TLS": (True, b"", None),
    "half of the headers": (True, b"POST /v1/completions HTTP/1.1\r\nHost: x", 408),
    "half of the body": (True, request(b"{", length=10_000), 408),
    "a whole request": (True, request(), 200),
    "no body after an unknown path": (True, request(b"", path="/x", length=10_000), 404),
    "no body after no key": (True, request(b"", key=None, length=10_000), 401),
    "no body after a wrong method": (True, request(b"", method="PUT", length=10_000), 405),
    "no body after a length too long": (True, request(b"", length=99_999_999), 413),
    "no body after a wrong type": (True, request(b"", content_type="text/plain", length=10_000), 415),
    "no chunk": (True, request(b"", length="", headers="Transfer-Encoding: chunked\r\n"), 411),
}
DRIPPING = {
    "nothing before TLS": CLIENT_HELLO,
    "half of the headers": b"POST /v1/completions HTTP/1.1\r\nHost: x",
    "half of the body": request(b"{", length=10_000),
    "no body after no key": request(b"", key=None, length=10_000),
}


@pytest.fixture(scope="module")
def box(haproxy: str) -> Iterator[Box]:
    with running(haproxy, vllm_gateway_connections_per_source=PER_SOURCE, **BOUNDS) as started:
        yield started


def stop(box: Box, phase: str) -> tuple[int, bool]:
    """Do a phase and no more; returns the status, and whether the gateway closed in good time."""
    tls, data, _expected = PHASES[phase]
    with box.connect(tls) as connection:
        connection.sendall(data)
        connection.settimeout(MARGIN)
        answered = status(connection) if data and tls else 0
        return answered, closed_within(connection, MARGIN)


def drip(box: Box, phase: str) -> bool:
    """Go on from a phase by one byte in half a second; returns whether the gateway closed in good time."""
    with box.connect(tls=phase != "nothing before TLS") as connection:
        connection.sendall(DRIPPING[phase])
        deadline = time.monotonic() + MARGIN
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                connection.sendall(b"x")
                time.sleep(0.5)
            return False
        return True


@pytest.fixture(scope="module")
def outcomes(box: Box) -> dict[str, tuple[int, bool]]:
    """All phases at once: they take as long as the longest of them."""
    with ThreadPoolExecutor(len(PHASES)) as pool:
        return dict(zip(PHASES, pool.map(lambda phase: stop(box, phase), PHASES)))


@pytest.fixture(scope="module")
def drips(box: Box) -> dict[str, bool]:
    with ThreadPoolExecutor(len(DRIPPING)) as pool:
        return dict(zip(DRIPPING, pool.map(lambda phase: drip(box, phase), DRIPPING)))


@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_stops_is_given_up_in_every_phase(outcomes: dict[str, tuple[int, bool]], phase: str) -> None:
    answered, closed = outcomes[phase]
    expected = PHASES[phase][2]
    assert closed
    assert expected is None or answered == expected


@pytest.mark.parametrize("phase", DRIPPING)
def test_a_client_that_drips_is_given_up(haproxy: str, drips: dict[str, bool], phase: str) -> None:
    if version_of(haproxy) >= (3, 0) and "body" in phase:
        pytest.skip(
            "HAProxy 3.0 reads the rest of a body after its answer, bounded by the pause between two bytes only"
        )
    assert drips[phase]


def test_a_refusal_tells_its_client_that_it_closes(box: Box) -> None:
    for refused in (request(key=None), request(path="/x"), request(b"{}"), request(b'{"model": "other"}')):
        with box.connect() as connection:
            connection.sendall(refused)
            assert b"connection: close" in connection.recv(1 << 16).lower()
            assert closed_within(connection, MARGIN)


def test_a_good_answer_leaves_its_connection_open(box: Box) -> None:
    with box.connect() as connection:
        for _time in range(3):
            connection.sendall(request())
            assert status(connection) == 200
            assert not closed_within(connection, 0.2)


def test_no_source_has_all_connections(box: Box) -> None:
    with contextlib.ExitStack() as opened:
        silent = []
        for _number in range(PER_SOURCE + 30):  # of 64 in all
            with contextlib.suppress(OSError):
                silent.append(opened.enter_context(box.connect(tls=False)))
        assert sum(closed_within(connection, 0.01) for connection in silent) + PER_SOURCE + 30 - len(silent) >= 30
        with pytest.raises(OSError, match=r"reset|EOF|closed|Broken"):
            box.ask(request())
        assert box.ask(request(), source="127.0.0.2") == 200


def test_a_client_that_does_not_read_its_answer_is_given_up(box: Box) -> None:
    box.engine.answer = b"x" * (32 << 20)
    try:
        with box.connect() as connection:
            connection.sendall(request())
            time.sleep(2.5 * BOUNDS["vllm_gateway_client_timeout"])
            got = 0
            with contextlib.suppress(OSError):
                while chunk := connection.recv(1 << 20):
                    got += len(chunk)
        assert 0 < got < len(box.engine.answer)
    finally:
        box.engine.answer = b"{}"


def test_requests_that_wait_longer_than_any_bound_are_answered(haproxy: str) -> None:
    wait = 1.7 * max(BOUNDS.values())
    with running(haproxy, engine_maxconn=1, **BOUNDS) as box, ThreadPoolExecutor(2) as pool:
        # The second waits in the gateway for the first, and then for the engine.
        box.engine.delay = wait
        assert list(pool.map(lambda _number: box.ask(request()), range(2))) == [200, 200]
        # A stream that stands still.
        box.engine.delay, box.engine.pause, box.engine.answer = 0, wait, b"x" * 1000
        with box.connect() as connection:
            connection.sendall(request())
            got = b""
            while not got.endswith(b"x" * 1000):
                chunk = connection.recv(1 << 16)
                assert chunk, got[-100:]
                got += chunk
