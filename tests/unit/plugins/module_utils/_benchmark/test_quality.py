# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good answers are: perplexity out of an engine's log-probabilities, and greedy answers of two sides."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.client import Client, warm_up
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.quality import (
    Text,
    logits_bytes,
    perplexity,
    probe,
    read_vocabulary,
    texts,
    token_agreement,
)
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.reference_text import (
    GREEDY_PROMPTS,
    reference_text,
)
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import Quality, read_result
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.scenarios import asked_of, scenario
from ansible_collections.llmops.inference.plugins.module_utils._engine.endpoint import Endpoint
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._generation.serving import Served, read_serving
from ansible_collections.llmops.inference.tests.unit.measured import run, service, turns
from ansible_collections.llmops.inference.tests.unit.plugins.module_utils._render.test_generation import rendered


def told(*probabilities: float) -> list[dict[str, Any] | None]:
    """The ``prompt_logprobs`` of tokens 10, 11, ... with these probabilities; the first has none."""
    entries = ({str(10 + n): {"logprob": math.log(p), "rank": 1}} for n, p in enumerate(probabilities, 1))
    return [None, *entries]


def test_perplexity_is_one_over_the_geometric_mean_of_the_probabilities() -> None:
    text = Text([10, 11, 12, 13], 1)
    assert perplexity(told(0.5, 0.25, 0.125), text) == pytest.approx(4.0)


def test_of_a_long_text_only_the_end_counts() -> None:
    assert perplexity(told(0.5, 0.25, 0.125), Text([10, 11, 12, 13], 3)) == pytest.approx(8.0)


def test_an_engine_that_does_not_tell_all_is_not_believed() -> None:
    with pytest.raises(InferenceError, match="log-probabilities of 3 of 4 tokens"):
        perplexity(told(0.5, 0.25), Text([10, 11, 12, 13], 1))
    with pytest.raises(InferenceError, match="no log-probability of token 99"):
        perplexity(told(0.5, 0.25), Text([10, 11, 99], 1))


def test_the_long_text_nearly_fills_the_context_and_its_last_quarter_counts() -> None:
    short, long = texts(8192, range(20000))
    assert long is not None
    assert (len(short.tokens), short.counted_from) == (512, 1)
    assert (len(long.tokens), long.counted_from) == (7372, 5529)


def test_a_context_that_is_hardly_longer_than_the_short_text_has_no_long_one() -> None:
    short, long = texts(1000, range(20000))
    assert (len(short.tokens), long) == (512, None)
    assert len(texts(100, range(20000))[0].tokens) == 99


def test_the_reference_text_is_as_long_as_asked_and_for_ever_the_same() -> None:
    text = reference_text(8192)
    assert len(text.split()) > 8192 * 0.9
    assert text.startswith("The harbour master keeps this log by hand.")
    assert reference_text(1024) == text[: len(reference_text(1024))]
    assert "left berth" in text


def test_what_was_said_of_a_ship_comes_back_much_later() -> None:
    lines = reference_text(8192).splitlines()
    left = next(line for line in lines if ", which had come from" in line)
    name = left.partition("The ")[2].partition(",")[0]
    came = next(line for line in lines if f"The {name} came in" in line)
    assert lines.index(left) - lines.index(came) >= 100
    assert left.partition("left berth ")[2].split()[0] == came.rpartition("berth ")[2].rstrip(".")


def test_the_logits_of_qwen3_take_gigabytes() -> None:
    assert logits_bytes(131072, 8192, 151936) == 8192 * 151936 * 6
    assert logits_bytes(512, 8192, 151936) == 512 * 151936 * 6


def test_agreement_is_the_share_of_tokens_at_the_same_place() -> None:
    assert token_agreement([[1, 2, 3], [4]], [[1, 2, 9], [4]]) == pytest.approx(0.75)
    assert token_agreement([[1, 2, 3]], [[1]]) == pytest.approx(1 / 3)
    assert token_agreement([], []) is None
    assert token_agreement([[1]], [[1], [2]]) is None


def test_greedy_answers_of_the_two_sides_of_a_round_are_held_against_each_other() -> None:
    answers = {"before": ((1, 2, 3, 4),), "after": ((1, 2, 3, 9),)}
    runs = [
        replace(one, services=(replace(one.services[0], quality=Quality(greedy_tokens=answers[one.side or ""])),))
        for one in turns(5)
    ]
    rows = result_report([one.to_dict() for one in runs])["comparison"]
    (row,) = (one for one in rows if one["metric"] == "greedy_agreement")
    assert (row["before"], row["after"]["value"], row["verdict"]) == (None, 0.75, None)


def test_greedy_tokens_are_part_of_a_run_and_read_as_they_were_written() -> None:
    made = run(service(quality=Quality(perplexity_short=2.5, greedy_tokens=((1, 2), ()))))
    assert read_result(json.loads(json.dumps(made.to_dict()))) == made
    wrong = made.to_dict()
    wrong["services"][0]["quality"]["greedy_tokens"] = [[1, "2"]]
    with pytest.raises(InferenceError, match=r"quality\.greedy_tokens is .* a list of lists of whole numbers"):
        read_result(wrong)


# ---- asked over HTTP: a server that answers as the engine's documentation says, and notes what it was asked


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body, self.headers["Authorization"]))  # type: ignore[attr-defined]
        self._answer(200, self._said(body))

    def _said(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.path == "/tokenize":
            return {"tokens": [number % 500 for number in range(len(body["prompt"].split()))]}
        if "prompt_logprobs" in body:
            entries = ({str(token): {"logprob": math.log(0.25)}} for token in body["prompt"][1:])
            return {"choices": [{"prompt_logprobs": [None, *entries]}]}
        return {"choices": [{"token_ids": [7] * body["max_tokens"], "text": ""}]}

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def server() -> Iterator[tuple[Client, list[Any]]]:
    found = HTTPServer(("127.0.0.1", 0), Answers)
    found.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield (
            Client(Endpoint("127.0.0.1", found.server_port, "mini", "canary"), 10),
            found.asked,  # type: ignore[attr-defined]
        )
    finally:
        found.shutdown()
        found.server_close()


@pytest.fixture
def served(tmp_path: Path) -> Served:
    """A service whose model knows 500 tokens."""
    (tmp_path / "config.json").write_text('{"vocab_size": 500}')
    one = read_serving(rendered()).services[0]
    planned = replace(one.planned, model=str(tmp_path), max_model_len=4096, max_num_batched_tokens=2048)
    return replace(one, planned=planned, environment={"TORCHDYNAMO_DISABLE": "1"})


def test_a_probe_tells_both_perplexities_and_the_greedy_answers(served: Served) -> None:
    with server() as (client, asked):
        found = probe(served, client, None, pytest.fail)
    assert [found.perplexity_short, found.perplexity_long] == pytest.approx([4.0, 4.0])
    assert (found.tokens_short, found.tokens_long) == (511, 922)
    assert found.greedy_tokens == ((7,) * 32,) * len(GREEDY_PROMPTS)
    assert {key for _path, _body, key in asked} == {"Bearer canary"}
    assert all(body["temperature"] == 0 for path, body, _key in asked if path == "/v1/completions")


def test_a_text_whose_logits_the_device_has_no_room_for_is_left_out_and_that_is_said(served: Served) -> None:
    warnings: list[str] = []
    with server() as (client, _asked):
        found = probe(served, client, 512 * 500 * 6, warnings.append)
    assert found.perplexity_short == pytest.approx(4.0)
    assert found.perplexity_long is None
    assert found.tokens_long is None
    assert len(warnings) == 1
    assert f"logits may take {2048 * 500 * 6} bytes" in warnings[0]


def test_an_engine_that_would_die_of_the_question_is_not_asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    warnings: list[str] = []
    with server() as (client, asked):
        found = probe(replace(served, environment={}), client, None, warnings.append)
    assert found.perplexity_short is None
    assert len(found.greedy_tokens) == len(GREEDY_PROMPTS)
    assert not [body for _path, body, _key in asked if "prompt_logprobs" in body]
    assert "has no C++ compiler" in warnings[0]


def test_a_model_that_does_not_tell_its_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match=r"config\.json does not say vocab_size"):
        read_vocabulary(str(tmp_path))


def test_the_warm_up_sends_what_will_be_asked_in_waves_and_never_twice_the_same() -> None:
    asked_for = asked_of("mini", 4096, "standard", scenario("standard", {"warmup_requests": 6}))
    with server() as (client, asked):
        rate = warm_up(client, asked_for, list(range(100)), "salt")
        assert rate is not None
        assert rate > 0
        none = asked_of("mini", 4096, "standard", scenario("standard", {"warmup_requests": 0}))
        assert warm_up(client, none, [1], "salt") is None
    bodies = [body for _path, body, _key in asked]
    assert len(bodies) == 8, "two waves of four"
    assert {(len(body["prompt"]), body["max_tokens"], body["min_tokens"]) for body in bodies} == {(128, 64, 64)}
    assert len({(tuple(body["prompt"]), body["cache_salt"]) for body in bodies}) == 8


def test_an_answer_that_is_none_is_told_with_what_was_said() -> None:
    client = Client(Endpoint("127.0.0.1", 1, "mini"), 1)
    with pytest.raises(InferenceError, match=r"http://127\.0\.0\.1:1/v1 did not answer /tokenize \(ConnectionRefused"):
        client.tokens("text")
