# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests by the hour, counted over engines that forget."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._engine.finished_requests import HOUR, Ledger, Tally
from ansible_collections.llmops.inference.plugins.module_utils._engine.metrics import Metrics, parse_metrics

TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a}b"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a}b"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a}b",reason="capacity"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="a}b"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="a}b"} 1.2e+03
vllm:generation_tokens_total{engine="0",model_name="a}b"} 70.0
vllm:generation_tokens_created{engine="0",model_name="a}b"} 1.7e+09
vllm:request_success_total{engine="0",finished_reason="stop",model_name="a}b"} 4.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="a}b"} 5.0
"""


def test_metrics_are_summed_over_their_labels() -> None:
    assert parse_metrics(TEXT) == Metrics(requests=5, finished=9, progress=(1200.0, 70.0, 0.25))


def test_what_is_not_the_metrics_of_an_engine_is_none() -> None:
    assert parse_metrics("") is None
    assert parse_metrics("<html>vllm:generation_tokens_total</html>") is None
    assert parse_metrics("vllm:generation_tokens_total{} eee\n") is None


def test_requests_are_counted_from_reading_to_reading_without_those_of_the_gate() -> None:
    tally = Tally().add("first", 11, hour=7).add("first", 15, hour=7).add("first", 20, hour=8)
    assert tally.hours == {"7": 14, "8": 5}


def test_an_engine_that_started_again_counts_from_its_start() -> None:
    tally = Tally().add("first", 101, hour=7).add("second", 4, hour=7)
    assert tally.hours == {"7": 103}


def test_only_the_hours_of_the_window_count_and_old_ones_are_forgotten() -> None:
    tally = Tally().add("first", 11, hour=7).add("first", 15, hour=900)
    assert tally.hours == {"900": 4}
    assert (tally.since(900 * HOUR + 60), tally.since(901 * HOUR)) == (4, 0)


def test_the_watchdogs_own_requests_are_left_out(tmp_path: Path) -> None:
    ledger = Ledger("mini", tmp_path)
    (tmp_path / "mini").mkdir()
    assert ledger.read() is None
    for finished in (1, 2, 3, 14):  # one of its own between any two looks, and ten of others before the last
        ledger.record("first", Metrics(0, finished, (0, 0, 0)), own=True)
    tally = ledger.read()
    assert tally is not None
    assert sum(tally.hours.values()) == 10


def test_a_file_that_nobody_can_read_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini/requests.json").write_text("[1")
    ledger = Ledger("mini", tmp_path)
    ledger.record("first", Metrics(0, 5, (0, 0, 0)), own=False)
    tally = ledger.read()
    assert tally is not None
    assert sum(tally.hours.values()) == 4
