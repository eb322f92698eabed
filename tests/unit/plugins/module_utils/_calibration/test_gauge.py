# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines write and tell about their memory, as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._calibration.gauge import beside_cache, count_blocks
from ansible_collections.llmops.inference.plugins.module_utils._engine.startup_log import StartupLog, read_startup_log

GIB = 1 << 30

# The sentences of vLLM 0.32's gpu_worker.py and gpu_model_runner.py, with two ranks.
CUDA = """\
(Worker_TP0 pid=71) INFO 11-23 15:22:45 [gpu_model_runner.py:5150] Model loading took 30.71 GiB memory and 9.2 seconds
(Worker_TP1 pid=72) INFO 11-23 15:22:45 [gpu_model_runner.py:5150] Model loading took 30.71 GiB memory and 9.3 seconds
(Worker_TP0 pid=71) INFO 11-23 15:23:01 [gpu_worker.py:760] Available KV cache memory: 41.27 GiB
(Worker_TP1 pid=72) INFO 11-23 15:23:01 [gpu_worker.py:760] Available KV cache memory: 41.25 GiB
(EngineCore pid=60) INFO 11-23 15:23:01 [kv_cache_utils.py:2327] GPU KV cache size: 337,920 tokens, Maximum \
concurrency for 131,072 tokens per request: 2.58x
(Worker_TP0 pid=71) INFO 11-23 15:23:19 [gpu_worker.py:971] CUDA graph pool memory: 0.61 GiB (actual), 0.72 GiB \
(estimated), difference: 0.11 GiB (18.0%).
(Worker_TP0 pid=71) INFO 11-23 15:23:19 [gpu_worker.py:1034] Free memory on device (77.9/79.11 GiB) on startup. \
Desired GPU memory utilization is (0.96, 75.95 GiB). Actual usage is 31.02 GiB for consumed memory (weights + \
non-torch), 3.66 GiB for peak activation, and 0.61 GiB for CUDAGraph memory. Replace gpu_memory_utilization config \
with `--kv-cache-memory=43579845120` (40.59 GiB) to fit into requested memory, or `--kv-cache-memory=45673717760` \
(42.54 GiB) to fully utilize gpu memory. Current kv cache memory in use is 41.27 GiB.
"""


def gib(size: float) -> int:
    return round(size * GIB)


def test_the_log_of_gpus_is_read_for_the_worst_rank() -> None:
    assert read_startup_log(CUDA.splitlines()) == StartupLog(
        kv_cache_tokens=337_920,
        kv_cache_bytes=gib(41.25),
        share_bytes=gib(75.95),
        consumed_bytes=gib(31.02),
        weights_bytes=gib(30.71),
        transient_bytes=gib(3.66),
        graphs_bytes=gib(0.72),
        outside_bytes=gib(79.11) - gib(77.9),
    )


def test_the_journal_of_a_start_on_the_cpu_names_its_worker() -> None:
    journal = (Path(__file__).parents[3] / "journals" / "cpu-start.txt").read_text()
    assert read_startup_log(journal.splitlines()) == StartupLog(
        kv_cache_tokens=573_440,
        kv_cache_bytes=gib(2.19),
        share_bytes=gib(2.82),
        consumed_bytes=gib(0.64),
        worker_pids=frozenset({880}),
    )


def test_a_cache_of_stated_size_is_not_taken_for_what_the_share_left() -> None:
    line = "(Worker pid=618) INFO [cpu_worker.py:260] Explicitly set (3.0/23.54) GiB for KV cache on node 0."
    assert read_startup_log([line]) == StartupLog()


@pytest.mark.parametrize("line", ["", "Available KV cache memory: GiB", "KV cache size: none", "\0" * 100])
def test_other_lines_tell_nothing(line: str) -> None:
    assert read_startup_log([line]) == StartupLog()


def test_blocks_are_counted_in_the_metrics() -> None:
    metrics = 'vllm:cache_config_info{block_size="16",engine="0",num_cpu_blocks="None",num_gpu_blocks="%s"} 1.0\n'
    assert count_blocks("# HELP x\n" + metrics % 4126) == 4126
    assert count_blocks(metrics % 4126 + metrics % 4120) == 4120
    assert count_blocks(metrics % "None") is None
    assert count_blocks("") is None


def test_a_worker_holds_what_it_said_to_have_consumed_less_the_pages_of_files() -> None:
    assert beside_cache(resident=gib(8), cache=gib(7), consumed=gib(2)) == gib(1)
    assert beside_cache(resident=gib(1), cache=gib(7), consumed=gib(2)) == gib(2), "a cache that is not filled yet"
    assert beside_cache(resident=gib(8), cache=gib(5), consumed=gib(2)) == gib(2)
