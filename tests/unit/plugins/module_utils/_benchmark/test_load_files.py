# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of load generators, read: those that they wrote themselves, and every way in which one can be broken."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmops.inference.plugins.filter.guidellm_results import guidellm_results
from ansible_collections.llmops.inference.plugins.filter.result_report import result_report
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.bench_file import read_bench_file
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.guidellm_file import read_guidellm_file
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import ServiceResult
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import METRICS
from ansible_collections.llmops.inference.tests.unit.measured import run

RECORDED = Path(__file__).parents[3] / "recorded"


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


def test_a_file_of_an_older_version_without_latencies_says_the_same() -> None:
    old = {name: value for name, value in bench().items() if name not in ("latencies", "queue_times")}
    for ours, theirs in zip(read_bench_file(old)[0], read_bench_file(bench())[0]):
        assert ours.status == theirs.status
        assert ours.end_to_end_seconds == pytest.approx(theirs.end_to_end_seconds)
        assert ours.client_queue_seconds is None


def test_the_time_between_tokens_is_over_tokens_where_several_came_at_once() -> None:
    first, second = read_bench_file(bench())[0][:2]
    assert first.inter_token_seconds == pytest.approx(0.03)
    assert second.inter_token_seconds == pytest.approx(0.02)  # five tokens in three messages
    assert second.longest_gap_seconds == 0.05


def test_an_open_loop_that_waited_for_itself_is_the_bottleneck() -> None:
    load = read_bench_file(bench(request_rate=8.0, queue_times=[0.1, 0.3, 0.0, 9.0]))[1]
    assert (load.mode, load.requests_per_second) == ("open", 8.0)
    assert load.bottleneck is not None
    assert "waited 0.40 s before they were sent, 91% of the time" in load.bottleneck
    assert "8 per second could not be kept up with 2 in flight" in load.bottleneck
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


def bench_recorded(name: str) -> dict[str, Any]:
    """What ``vllm bench serve`` of vLLM 0.32.0 wrote, see README.md beside it."""
    packed = (RECORDED / f"vllm-bench-serve-0.32.0-{name}.json.gz").read_bytes()
    content: dict[str, Any] = json.loads(gzip.decompress(packed))
    return content


@pytest.mark.parametrize("name", ["closed", "open"])
def test_the_numbers_are_those_that_vllm_bench_serve_itself_reports(name: str) -> None:
    content = bench_recorded(name)
    requests, load, duration = read_bench_file(content)
    measured = ServiceResult("mini", "mini", "standard", duration, load, requests)
    whole = run(measured)
    for metric, reported in {
        "output_tokens_per_second": content["output_throughput"],
        "total_tokens_per_second": content["total_token_throughput"],
        "requests_per_second": content["request_throughput"],
        "ttft_p50_seconds": content["median_ttft_ms"] / 1000,
        "inter_token_p50_seconds": content["median_tpot_ms"] / 1000,
        "failed_share": content["failed"] / 20,
    }.items():
        assert METRICS[metric].read(whole, measured) == pytest.approx(reported, rel=1e-9), metric


def test_a_recorded_closed_loop_is_one_and_a_recorded_open_loop_says_that_it_fell_behind() -> None:
    closed, load, _duration = read_bench_file(bench_recorded("closed"))
    assert (load.mode, load.concurrency, load.bottleneck) == ("closed", 3, None)
    assert Counter(one.status for one in closed) == {"completed": 20}
    assert all(one.client_queue_seconds is None for one in closed)
    opened, load, _duration = read_bench_file(bench_recorded("open"))
    assert (load.mode, load.requests_per_second) == ("open", 40.0)
    assert Counter(one.status for one in opened) == {"completed": 12, "failed": 8}
    assert opened[-1].error == "Internal Server Error"
    assert "40 per second could not be kept up with 2 in flight" in (load.bottleneck or "")


# GuideLLM


def guidellm() -> dict[str, Any]:
    """What GuideLLM 0.8.1 wrote of two benchmarks, see README.md beside it."""
    content: dict[str, Any] = json.loads(gzip.decompress((RECORDED / "guidellm-0.8.1.json.gz").read_bytes()))
    return content


def test_a_file_of_guidellm_gives_its_benchmarks_with_all_their_requests() -> None:
    one, three = read_guidellm_file(guidellm())
    assert [one.load.concurrency, three.load.concurrency] == [1, 3]
    assert {one.load.mode, three.load.mode} == {"closed"}
    assert Counter(request.status for request in one.requests) == {"completed": 14}
    assert Counter(request.status for request in three.requests) == {"completed": 8, "failed": 6}
    assert "500 Internal Server Error" in (three.requests[-1].error or "")


def test_the_times_are_those_that_guidellm_itself_reports() -> None:
    for content, found in zip(guidellm()["benchmarks"], read_guidellm_file(guidellm())):
        answered = [request for request in found.requests if request.status == "completed"]
        theirs = content["metrics"]
        for ours, name, scale in (
            ("ttft_seconds", "time_to_first_token_ms", 1000),
            ("inter_token_seconds", "inter_token_latency_ms", 1000),
            ("end_to_end_seconds", "request_latency", 1),
        ):
            mean = sum(getattr(request, ours) for request in answered) / len(answered)
            reported = theirs[name]["successful"]["mean"]
            # GuideLLM weighs the times between tokens by tokens; here all requests have equally many.
            assert mean * scale == pytest.approx(reported, rel=1e-6), name
        assert found.duration_seconds == pytest.approx(content["duration"])
        assert found.requests[0].start_seconds >= 0


def test_an_open_loop_and_requests_that_guidellm_ended_itself_are_told_apart() -> None:
    content = guidellm()
    content["metadata"]["version"] = 1
    benchmark = content["benchmarks"][0]
    benchmark["config"]["strategy"] = {"type_": "constant", "rate": 4.0, "max_concurrency": None}
    benchmark["requests"]["incomplete"] = benchmark["requests"]["successful"][:3]
    benchmark["requests"]["errored"] = benchmark["requests"]["successful"][3:5]
    benchmark["requests"]["successful"] = benchmark["requests"]["successful"][5:]
    found = read_guidellm_file(content)[0]
    assert (found.load.mode, found.load.requests_per_second) == ("open", 4.0)
    assert Counter(request.status for request in found.requests) == {"completed": 9, "cancelled": 3, "aborted": 2}
    assert all(request.client_queue_seconds is not None for request in found.requests)


def test_what_was_under_way_when_the_measurement_began_is_left_out() -> None:
    content = guidellm()
    content["benchmarks"][0]["start_time"] += 1.0
    assert len(read_guidellm_file(content)[0].requests) < 14


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("benchmarks"), "no result of GuideLLM: it has no list of benchmarks"),
        (lambda content: content["metadata"].update(version=3), r"of version 3 of GuideLLM's format; .* reads 1, 2"),
        (lambda content: content.pop("metadata"), "of version None"),
        (lambda content: content["benchmarks"][0].pop("duration"), "not what GuideLLM writes: KeyError 'duration'"),
        (
            lambda content: content["benchmarks"][0]["config"].update(sample_size=14),
            "keeps only 14 requests",
        ),
    ],
)
def test_what_guidellm_did_not_write_whole_is_refused(change: Callable[[Any], None], said: str) -> None:
    content = guidellm()
    change(content)
    with pytest.raises(InferenceError, match=said):
        read_guidellm_file(content)


def test_benchmarks_of_guidellm_become_a_report() -> None:
    services = guidellm_results(guidellm(), "mini", "mini", "burst")
    made = {**run().to_dict(), "services": services[:1]}
    assert result_report([made])["summary"][0]["scenario"] == "burst"
    with pytest.raises(AnsibleFilterError, match="scenario is 'stress'; one of standard"):
        guidellm_results(guidellm(), "mini", "mini", "stress")
    with pytest.raises(AnsibleFilterError, match="no result of GuideLLM"):
        guidellm_results({}, "mini", "mini")
