# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine versions: the oldest and the newest that plans are made for, and what changed between them. Pure.

``CHANGES`` is the one table; planning and rendering ask :func:`behaviour`, and no other code compares versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .._versions import Version, parse_version

FLOOR = "0.11.0"  # the oldest engine of which starts were measured
CEILING = "0.33"  # the newest minor release whose source was read; its patches are within it

SAMPLER_SORTS = "sorts"  # top-k and top-p sort all logits: 38 bytes a logit in the profiling pass
SAMPLER_IN_PLACE = "in_place"  # FlashInfer or Triton: 16 bytes a logit

RUNNER_1, RUNNER_2_LISTED, RUNNER_2_DENSE, RUNNER_2 = "1", "2 for listed models", "2 for dense models", "2"
GRAPHS_OUTSIDE, GRAPHS_RUNNER_1, GRAPHS_UNKNOWN, GRAPHS_INSIDE = "outside", "runner 1", "unknown", "inside"


@dataclass(frozen=True)
class Change:
    """From version ``since`` on, ``key`` has ``value``. ``source`` says how it is known."""

    since: str
    key: str
    value: str | bool | float
    source: str


@dataclass(frozen=True)
class Behaviour:
    """What an engine of one version does."""

    rope_flag: str  # the flag that carries a rope scaling
    shutdown_timeout: bool  # knows --shutdown-timeout
    device_uuids: bool  # takes UUIDs in CUDA_VISIBLE_DEVICES
    sampler: str
    graphs: str  # whether CUDA graphs are taken off the share
    default_share: float  # gpu-memory-utilization where nobody states it
    runner: str  # the model runner, by default
    least_capability: int  # of a GPU that the released wheels have code for, 7.5 as 75
    outside_measured: bool  # whether bytes outside the share were measured under load
    group_buffers: str  # of a tensor-parallel group, inside the share
    counts_of_tokens: bool  # a number for each sequence and word of the vocabulary stays inside the share


# The first of a key holds for every older engine, too.
CHANGES: tuple[Change, ...] = (
    Change(FLOOR, "rope_flag", "rope-scaling", "deprecated flag, still there in 0.11.0"),
    Change("0.11.1", "rope_flag", "hf-overrides", "vllm#28006 removes --rope-scaling and --rope-theta"),
    Change(FLOOR, "shutdown_timeout", False, "the engine knows no --shutdown-timeout"),
    Change("0.18.0", "shutdown_timeout", True, "vllm#34730"),
    Change(
        FLOOR, "device_uuids", False, "int() of an entry of CUDA_VISIBLE_DEVICES: vllm#20939, #32569, seen in 0.22.0"
    ),
    Change("0.24.0", "device_uuids", True, "vllm#45026; run with UUIDs on an H100; 0.23 was not tried"),
    Change(FLOOR, "sampler", SAMPLER_IN_PLACE, "FlashInfer samples by default; measured starts of 0.11.0"),
    Change("0.11.1", "sampler", SAMPLER_SORTS, "vllm#26859 turns FlashInfer's sampler off; measured starts to 0.16.0"),
    Change("0.17.0", "sampler", SAMPLER_IN_PLACE, "vllm#33538, a Triton kernel; measured starts from 0.18.0"),
    Change(FLOOR, "graphs", GRAPHS_OUTSIDE, "CUDA graphs are captured after the cache has its size"),
    Change("0.20.0", "graphs", GRAPHS_RUNNER_1, "vllm#38284; its log says 0.21.0, but starts of 0.20.0 have it"),
    Change(
        "0.25.0", "graphs", GRAPHS_UNKNOWN, "runner 2 counted none in 0.24.0 and counts them in 0.32.0 (vllm#49224)"
    ),
    Change("0.32.0", "graphs", GRAPHS_INSIDE, "source of 0.32.0: runner 2 profiles them, too"),
    Change(FLOOR, "least_capability", 70, "wheels built with CUDA 12"),
    Change("0.24.0", "least_capability", 75, "wheel built with CUDA 13.0, which has no code for 7.0; run on an H100"),
    Change(FLOOR, "default_share", 0.9, "vllm/config/cache.py"),
    Change("0.20.0", "default_share", 0.92, "vllm#38284"),
    Change(FLOOR, "runner", RUNNER_1, "vllm/v1/worker/gpu_model_runner.py"),
    Change("0.23.0", "runner", RUNNER_2_LISTED, "DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES in source of 0.24.0"),
    Change("0.25.0", "runner", RUNNER_2_DENSE, "vllm#44443"),
    Change("0.30.0", "runner", RUNNER_2, "vllm#53183"),
    Change(FLOOR, "outside_measured", False, "no start on record tells"),
    Change("0.24.0", "outside_measured", True, "H100, under load: docs/measured-on-gpu.md"),
    Change("0.25.0", "outside_measured", False, "no start on record tells"),
    Change(FLOOR, "group_buffers", "small", "measured starts to 0.16.0: 0.1 GiB a rank of the group"),
    Change("0.17.0", "group_buffers", "large", "measured starts from 0.18.0: 1.5 GiB more"),
    Change(FLOOR, "counts_of_tokens", False, "not inside the share in 0.24.0: docs/measured-on-gpu.md"),
    Change("0.32.0", "counts_of_tokens", True, "H200, 64 to 1,024 sequences: docs/measured-on-gpu.md"),
)
# Of RUNNER_2_LISTED (``vllm/config/vllm.py`` of 0.24.0).
RUNNER_2_ARCHITECTURES = frozenset(
    {
        "Qwen3ForCausalLM",
        "DeepseekV2ForCausalLM",
        "Qwen2MoeForCausalLM",
        "GraniteMoeForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
    }
)


@lru_cache(maxsize=64)
def behaviour(engine_version: str | None) -> Behaviour:
    """Return what an engine of that version does; None stands for the newest known.

    Raises InferenceError for text that is no version.
    """
    version = parse_version(CEILING if engine_version is None else engine_version)
    result: dict[str, Any] = {}
    for change in CHANGES:
        if change.key not in result or parse_version(change.since) <= version:
            result[change.key] = change.value
    return Behaviour(**result)


def outside_range(engine_version: str | None) -> str | None:
    """Return a sentence about a version older than FLOOR or newer than CEILING; None for one between them."""
    if engine_version is None:
        return None
    version = parse_version(engine_version)
    if version < parse_version(FLOOR):
        return f"vLLM {engine_version} is older than {FLOOR}, the oldest that plans are made for; install a newer one."
    if _minor(version) > _minor(parse_version(CEILING)):
        return (
            f"vLLM {engine_version} is newer than {CEILING}, the newest that plans are made for: it is planned as that "
            "one, so check the first start, or update the collection."
        )
    return None


def _minor(version: Version) -> tuple[int, ...]:
    return (*version.release, 0)[:2]
