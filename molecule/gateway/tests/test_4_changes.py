# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts go out and come back, the gateway is reloaded, and no request is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.llmops.inference.molecule.gateway.tests.client import (
    GATEWAYS,
    PROMPT,
    ask,
    client,
    host,
    no_probes,
    play,
    request,
    states,
    wait_for,
)


@contextmanager
def constant_load() -> Iterator[list[int]]:
    """Complete all the time, four requests at once; yields the statuses of the answers."""
    statuses: list[int] = []
    over = threading.Event()

    def complete() -> None:
        while not over.is_set():
            try:
                statuses.append(ask(request()).status)
            except (OSError, IndexError):
                statuses.append(0)  # no answer at all

    threads = [threading.Thread(target=complete) for _number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join(60)


def test_a_host_is_drained_and_taken_back_under_load() -> None:
    with constant_load() as statuses:
        said = play("drain.yml")
        assert "gateway-a:mini; no request is left." in said
        for gateway in GATEWAYS:
            assert states(gateway)["gateway-a:mini"] == "DRAIN"
        with no_probes() as arrivals:
            time.sleep(2)
            assert not [line for line in arrivals.seen() if line.startswith("gateway-a")]
        play("undrain.yml")
    assert states()["gateway-a:mini"] == "UP"
    assert len(statuses) > 20
    assert set(statuses) == {200}


def test_a_drain_waits_for_the_stream_that_began() -> None:
    asked = client(timeout=120)
    # The only engine of its model.
    stream = asked.completions.create(
        model="Qwen/micro", prompt=PROMPT, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    )
    tokens = [next(stream)]
    finished: list[float] = []

    def read() -> None:
        tokens.extend(stream)
        finished.append(time.monotonic())

    reader = threading.Thread(target=read)
    reader.start()
    # Two workers have the session then: the one that has it, and the one that is told to drain.
    host("gateway").check_output("systemctl reload haproxy")
    play("drain.yml", "--extra-vars", '{"vllm_gateway_drain_services": ["micro"]}')
    drained = time.monotonic()
    reader.join(60)
    play("undrain.yml", "--extra-vars", '{"vllm_gateway_drain_services": ["micro"]}')
    assert len(tokens) > 1000, "the stream came to its end"
    assert finished[0] < drained + 1


def test_what_is_drained_stays_so_over_reloads_and_restarts_and_the_last_one_is_not_drained_with_it() -> None:
    gateway = host("gateway")
    play("drain.yml", "--limit", "gateway-b")
    try:
        for action in ("reload", "restart"):
            gateway.check_output(f"systemctl {action} haproxy")
            time.sleep(3)
            assert states()["gateway-b:mini"] == "DRAIN", f"after a {action}"
            assert ask(request()).status == 200
        refused = play("drain.yml", "--limit", "gateway-a", status=2)
        assert "would leave its model without a server" in refused, refused
        assert "gateway-b:mini is drained" in refused
        assert states()["gateway-a:mini"] == "UP"
    finally:
        play("undrain.yml", "--limit", "gateway-b")
    assert wait_for("gateway-b:mini", "UP", 10) < 10


def test_a_reload_loses_nothing() -> None:
    with constant_load() as statuses:
        for _time in range(5):
            host("gateway").check_output("systemctl reload haproxy")
            time.sleep(1)
    assert len(statuses) > 20
    assert set(statuses) == {200}


def test_without_a_gateway_a_drain_does_nothing_and_says_so() -> None:
    gateway = host("gateway-trixie")
    gateway.check_output("systemctl stop haproxy")
    try:
        assert "no gateway runs here" in play(
            "drain.yml", "--extra-vars", '{"vllm_gateway_gateways": ["gateway-trixie"]}'
        )
    finally:
        gateway.check_output("systemctl start haproxy")
    assert "there is no gateway" in play("drain.yml", "--extra-vars", '{"vllm_gateway_gateways": []}')
