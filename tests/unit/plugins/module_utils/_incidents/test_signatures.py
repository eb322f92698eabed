# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cause of a failure, out of journals that the real engine wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._incidents.signatures import cause

JOURNALS = Path(__file__).parents[3] / "journals"


def test_the_root_cause_is_found_below_the_wrapper_and_beside_a_warning_that_names_an_error() -> None:
    lines = (JOURNALS / "shared-memory-too-small.txt").read_text().splitlines()
    assert any("Engine core initialization failed" in line for line in lines)
    assert any("OSError: [Errno 24]" in line for line in lines)
    incident = cause(lines)
    assert incident.kind == "no_shared_memory"
    assert incident.line.startswith("RuntimeError: Insufficient space in /dev/shm")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (
            "ValueError: Free memory on device cuda:0 (70.1/79.2 GiB) on startup is less than desired",
            "memory_share_too_large",
        ),
        ("ValueError: Available memory on node 0 (3.1/23.5 GiB) on startup is less than", "memory_share_too_large"),
        ("ValueError: Available memory on node 0 (3/23 GiB) on kv cache allocation is less", "no_room_for_kv_cache"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "no_room_for_kv_cache"),
        ("ValueError: To serve at least one request with the model's max seq len (131072)", "no_room_for_kv_cache"),
        ("AssertionError: Error in memory profiling. Initial free memory", "memory_profiling"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_device_memory"),
        ("vllm-guard: service 'mini' cannot listen on 127.0.0.1:8002 (Address already in use)", "port_taken"),
        ("vllm-guard: service 'mini' was not admitted within 300 s: numa:0 has 1 GiB free", "not_admitted"),
        ("vllm: error: unrecognized arguments: --no-such-flag", "bad_configuration"),
        ("safetensors_rust.SafetensorError: Error while deserializing header", "corrupt_weights"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/m/model.safetensors'", "file_access"),
        ("RuntimeError: Worker proc VllmWorker-0 died unexpectedly", "worker_died"),
        ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=GPU-a1f3c0de", "no_container"),
        ("Error: statfs /srv/models/mini: no such file or directory", "no_container"),
        ("vllm@mini.service: Main process exited, code=killed, status=9/KILL", "killed"),
        ("vllm@mini.service: Main process exited, code=exited, status=137/n/a", "killed"),
    ],
)
def test_a_known_line_has_its_kind_even_when_wrappers_follow(line: str, kind: str) -> None:
    prefix = "(EngineCore pid=7) ERROR 11-23 10:00:00 [core.py:1] "
    wrapper = "RuntimeError: Engine core initialization failed. See root cause above."
    incident = cause(["starting", prefix + line, prefix + wrapper, wrapper])
    assert (incident.kind, incident.line) == (kind, line)
    assert incident.remedy


def test_of_two_causes_the_one_nearer_to_the_root_is_named() -> None:
    lines = ["RuntimeError: Worker proc VllmWorker-0 died unexpectedly", "torch.OutOfMemoryError: CUDA out of memory."]
    assert cause(lines).kind == "out_of_device_memory"


def test_a_service_that_wrote_nothing_is_said_to_have_written_nothing() -> None:
    assert cause([]).line == "the service wrote nothing"
    assert cause(["", "Killed"]).line == "Killed"
