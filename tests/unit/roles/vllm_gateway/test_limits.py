# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client may ask for is bounded by numbers that do not wrap, and counted by what an engine has to generate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.unit.roles.vllm_gateway.gateway_box import HASTY, Box, request, running

LONGEST = 2_097_152
SEQUENCES = 100


@pytest.fixture(scope="module")
def box(haproxy: str) -> Iterator[Box]:
    with running(haproxy, vllm_gateway_sequences_per_minute=SEQUENCES * 1000, vllm_gateway_body_timeout=3) as started:
        yield started


def sized(length: int) -> bytes:
    """Return a body of that length, good where it is long enough to be one."""
    good = b'{"model": "mini", "prompt": "x"}'
    return good + b" " * (length - len(good)) if length >= len(good) else b" " * length


@pytest.mark.parametrize("power", range(72))
def test_lengths_around_every_power_of_two_are_what_they_are(box: Box, power: int) -> None:
    box.engine.heads.clear()
    for length in {max(0, 2**power + more) for more in (-1, 0, 1, 40)}:
        if length <= LONGEST:
            assert box.ask(request(sized(length))) == (200 if length >= len(sized(32)) else 400), length
        else:
            # Above that HAProxy's parser refuses some by itself.
            assert box.ask(request(length=length)) in ({413} if length < 2**63 else {400, 413}), length
    assert power < 22 or not box.engine.heads


@pytest.mark.parametrize("length", ["00000000000032", "0" * 30 + "32"])
def test_zeros_before_a_length_are_nothing(box: Box, length: str) -> None:
    assert box.ask(request(length=length)) == 200
    assert box.ask(request(length="000" + str(2**32 + 32))) == 413


def test_a_key_is_held_to_sequences_not_requests_only(haproxy: str) -> None:
    with running(haproxy, vllm_gateway_sequences_per_minute=SEQUENCES) as started:

        def ask(**members: Any) -> int:
            return started.ask(request(json.dumps({"model": "mini", **members}).encode()))

        assert ask(n=SEQUENCES + 1) == 400
        assert ask(prompt=["a", "b"], best_of=SEQUENCES // 2 + 1) == 400
        assert started.engine.heads == []
        assert ask(prompt=["a"] * 30, n=3) == 200
        assert ask(n=SEQUENCES // 2) == 429
        assert ask(prompt=list(range(1000))) == 200
        # What was refused is not counted.
        assert ask(n=4) == 200
        # Another key has its own.
        assert started.ask(request(b'{"model": "mini", "n": 90}', key=HASTY)) == 200
