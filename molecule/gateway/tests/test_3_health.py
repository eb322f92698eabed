# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that does not generate is taken out, whatever its /health says; one that is merely busy is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from ansible_collections.llmops.inference.molecule.gateway.tests.client import (
    PROMPT,
    Arrivals,
    ask,
    client,
    host,
    request,
    states,
    wait_for,
    wait_for_all,
)

# Requests at once, and the sequences of each: together they keep the quickest engine at work for longer than the probe
# waits. Few connections, since a client, two engines and a gateway on two cores need seconds for many handshakes at
# once, and the gateway does not wait long for a request.
BUSY, EACH = 8, 8


@pytest.fixture(autouse=True)
def _all_up() -> None:
    # One test's load on two cores may be too much for an engine that is idle: it is out when the next test begins.
    wait_for_all()


@contextmanager
def stopped(name: str, service: str, processes: str) -> Iterator[None]:
    """Stop some processes of an engine in their tracks for a while."""
    engine_host = host(name)
    group = engine_host.check_output(f"systemctl show --value -p ControlGroup vllm@{service}")
    listed = engine_host.check_output(f"cat /sys/fs/cgroup{group}/cgroup.procs").split()
    pids = [pid for pid in listed if processes in engine_host.check_output(f"cat /proc/{pid}/comm")]
    assert pids, f"{name} has no process {processes} in {group}"
    engine_host.check_output(f"kill -STOP {' '.join(pids)}")
    try:
        yield
    finally:
        engine_host.check_output(f"kill -CONT {' '.join(pids)}")


# The engine behind a server that goes on answering, and the whole of it.
@pytest.mark.parametrize("processes", ["EngineCor", ""], ids=["its core", "all of it"])
def test_a_wedged_engine_is_taken_out_and_comes_back(processes: str) -> None:
    with stopped("gateway-a", "mini", processes):
        if processes:
            health = "import urllib.request as u; print(u.urlopen('http://10.89.96.51:8002/health', timeout=5).status)"
            assert host("gateway-a").check_output(f'python3 -c "{health}"') == "200"
        print(f"out after {wait_for('gateway-a:mini', 'DOWN', 30):.1f} s")
        arrivals = Arrivals()
        asked = client(timeout=20)
        for _time in range(6):
            asked.completions.create(model="mini", prompt=PROMPT, max_tokens=4)
        completions = [line for line in arrivals.seen() if "/v1/completions" in line and line.endswith("200")]
        assert not [line for line in completions if line.startswith("gateway-a") and "mini" in line]
        assert len([line for line in completions if line.startswith("gateway-b")]) >= 6
    print(f"back after {wait_for('gateway-a:mini', 'UP', 30):.1f} s")


def test_the_last_engine_of_a_model_going_is_said_at_once() -> None:
    with stopped("gateway-a", "micro", ""):
        wait_for("gateway-a:micro", "DOWN", 30)
        began = time.monotonic()
        answer = ask(request(b'{"model": "Qwen/micro", "prompt": "x"}'))
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert time.monotonic() - began < 5
        assert ask(request()).status == 200, "other models are served"
    wait_for("gateway-a:micro", "UP", 30)


def test_a_busy_engine_stays_in() -> None:
    # More than its engine works on at a time, for longer than the probe's deadlines of 2 x 3 s.
    asked = client(timeout=300)

    def generate() -> int:
        answer = asked.completions.create(
            model="Qwen/micro", prompt=PROMPT, max_tokens=700, n=EACH, extra_body={"ignore_eos": True}
        )
        assert answer.usage is not None
        return answer.usage.completion_tokens

    began = time.monotonic()
    seen = set()
    with ThreadPoolExecutor(BUSY) as pool:
        running = [pool.submit(generate) for _number in range(BUSY)]
        while not all(future.done() for future in running):
            seen.add(states()["gateway-a:micro"])
            time.sleep(0.5)
        assert [future.result() for future in running] == [700 * EACH] * BUSY
    assert time.monotonic() - began > 8, "too quick to have been busy"
    assert seen == {"UP"}


def test_without_its_probe_the_gateway_goes_on() -> None:
    gateway = host("gateway")
    gateway.check_output("systemctl kill --signal=KILL vllm-gateway-probe.service")
    try:
        assert [ask(request()).status for _time in range(4)] == [200] * 4
    finally:
        gateway.check_output("systemctl start vllm-gateway-probe.service")
    assert states()["gateway-a:mini"] == "UP", "what was known before stays until the probe knows better"
