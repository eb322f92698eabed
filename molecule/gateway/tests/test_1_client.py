# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a client of OpenAI's API gets through the gateway: every model, streams, long prompts, errors it understands."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from ansible_collections.llmops.inference.molecule.gateway.tests.client import (
    ALICE,
    BOB,
    GATEWAYS,
    HASTY,
    PROMPT,
    ask,
    body_of,
    client,
    no_probes,
    request,
    wait_for_all,
)

MESSAGES: Any = [{"role": "user", "content": PROMPT}]


@pytest.fixture(scope="module", autouse=True)
def _all_up() -> None:
    wait_for_all()


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("model", ["mini", "Qwen/micro"])
@pytest.mark.parametrize("key", [ALICE, BOB], ids=["alice", "bob"])
def test_it_answers_for_every_model_and_every_key(gateway: str, model: str, key: str) -> None:
    answer = client(key, gateway).chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=8, extra_body={"ignore_eos": True}
    )
    assert answer.model == model
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_it_streams_token_by_token(gateway: str) -> None:
    stream: Any = client(gateway=gateway).chat.completions.create(
        model="mini", messages=MESSAGES, max_tokens=1000, stream=True, extra_body={"ignore_eos": True}
    )
    times = [time.monotonic() for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    assert len(times) > 50
    assert len({round(moment, 2) for moment in times}) > 10, "the pieces came one after another, not all at once"


def test_it_lists_all_models_itself() -> None:
    with no_probes() as arrivals:
        asked = client()
        assert [model.id for model in asked.models.list()] == ["Qwen/micro", "mini"]
        assert asked.models.retrieve("Qwen/micro").id == "Qwen/micro"
        with pytest.raises(openai.NotFoundError):
            asked.models.retrieve("gpt")
        assert arrivals.seen() == []


def test_what_two_hosts_serve_goes_to_both() -> None:
    with no_probes() as arrivals:
        asked = client()

        def complete(_number: int) -> None:
            asked.completions.create(model="mini", prompt=PROMPT, max_tokens=32, extra_body={"ignore_eos": True})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(complete, range(16)))
        seen = arrivals.seen()
    assert len(seen) == 16
    counted = [sum(line.startswith(name) for line in seen) for name in ("gateway-a", "gateway-b")]
    # The first eight go four and four; from then on the faster one gets more.
    assert min(counted) >= 4, f"least connections over two hosts came to {counted}"


def test_a_prompt_of_128k_tokens_arrives_whole() -> None:
    # Token ids are the longest form of a prompt that clients send; the engine counts what it got.
    prompt = [300 + place % 200 for place in range(131_000)]
    with pytest.raises(openai.BadRequestError) as refused:
        client(timeout=120).completions.create(model="mini", prompt=prompt, max_tokens=1)
    assert "8192" in str(refused.value), "the engine itself said that it is too long for this model"
    assert "131000" in str(refused.value) or "131001" in str(refused.value)


def test_its_refusals_are_openais_exceptions() -> None:
    with pytest.raises(openai.AuthenticationError):
        client("wrong" * 10).models.list()
    with pytest.raises(openai.NotFoundError) as unknown:
        client().completions.create(model="gpt", prompt=PROMPT)
    assert unknown.value.code == "model_not_found"
    assert unknown.value.param == "model"


def test_a_key_has_its_own_limit_per_minute() -> None:
    statuses = [ask(request(body_of(), key=HASTY)).status for _time in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    limited = ask(request(body_of(), key=HASTY))
    assert limited.error["code"] == "rate_limit_exceeded"
    assert int(limited.headers["retry-after"]) > 0
    assert ask(request(body_of(), key=ALICE)).status == 200


def test_load_balancers_learn_that_it_is_up_without_a_key() -> None:
    assert ask(request(b"", "/health", method="GET", key=None, content_type="", length=False)).status == 200
