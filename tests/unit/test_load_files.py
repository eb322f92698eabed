# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of load generators, read: those that they wrote themselves, and every way in which one can be broken."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._bench_file import read_bench_file
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError


def bench(**changes: Any) -> dict[str, Any]:
    """What ``vllm bench serve`` says of four requests: two answered, one refused, one that broke off."""
    return {
        "backend": "openai",
        "model_id": "mini",
        "num_prompts": 4,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 2,
        "duration": 3.5,
        "completed": 2,
        "failed": 2,
        "request_throughput": 0.57,
        "input_lens": [64, 64, 64, 64],
        "output_lens": [3, 5, 0, 0],
        "ttfts": [0.1, 0.2, 0.0, 0.3],
        "itls": [[0.02, 0.04], [0.03, 0.05], [], [0.02]],
        "latencies": [0.16, 0.28, 0.0, 0.0],
        "start_times": [812.5, 812.6, 813.0, 813.5],
        "queue_times": [0.0, 0.0, 0.1, 0.2],
        "errors": ["", "", "Not Found", "Traceback (most recent call last):\n  ...\nClientPayloadError: gone\n"],
        **changes,
    }


def test_each_request_has_its_times_in_seconds_and_how_it_ended() -> None:
    requests, load, duration = read_bench_file(bench())
    assert [one.status for one in requests] == ["completed", "completed", "failed", "aborted"]
    assert [one.start_seconds for one in requests] == pytest.approx([0.0, 0.1, 0.5, 1.0])
    assert [one.ttft_seconds for one in requests] == [0.1, 0.2, None, 0.3]
    assert [one.end_to_end_seconds for one in requests] == [0.16, 0.28, None, None]
    assert [one.tokens_out for one in requests] == [3, 5, 0, 2]
    assert [one.error for one in requests] == [None, None, "Not Found", "ClientPayloadError: gone"]
    assert duration == 3.5
    assert (load.mode, load.concurrency, load.requests_per_second, load.bottleneck) == ("closed", 2, None, None)


def test_the_time_between_tokens_is_over_tokens_where_several_came_at_once() -> None:
    first, second = read_bench_file(bench())[0][:2]
    assert first.inter_token_seconds == pytest.approx(0.03)
    assert second.inter_token_seconds == pytest.approx(0.02)  # five tokens in three messages
    assert second.longest_gap_seconds == 0.05


def test_an_open_loop_that_waited_for_itself_is_the_bottleneck() -> None:
    load = read_bench_file(bench(request_rate=8.0, queue_times=[0.0, 0.2, 0.2, 0.0]))[1]
    assert (load.mode, load.requests_per_second) == ("open", 8.0)
    assert load.bottleneck is not None
    assert "waited 0.40 s in the load generator, 91% of the time" in load.bottleneck
    assert "its limit of 2 in flight was too low for 8 requests per second" in load.bottleneck
    assert read_bench_file(bench(request_rate=8.0, queue_times=[0.0, 0.02, 0.0, 0.0]))[1].bottleneck is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no result of `vllm bench serve`"),
        ({"benchmarks": []}, "it has no request_throughput"),
        (bench(ttfts=None), r"has no ttfts of single requests; .* --save-detailed"),
        (bench(ttfts=[0.1]), r"is not whole: its lists differ in length \(.*ttfts 1"),
        (bench(completed=3), "says that 3 requests completed, but 2 have a latency"),
        (bench(ttfts=["a", 0, 0, 0]), "no result of `vllm bench serve`: "),
        (bench(duration=None), "no result of `vllm bench serve`: "),
    ],
)
def test_what_is_no_whole_file_is_refused(content: object, said: str) -> None:
    with pytest.raises(InferenceError, match=said):
        read_bench_file(content)
