# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measured starts as the fit of the overhead takes them: published ones, and this project's own on H100.

``starts.csv`` holds 187 starts on H200 and B200 that benchmark reports published with their logs; ``starts`` counts
equal ones. They are taken to have run with the engine's own ``max-num-seqs`` of 1024 and ``max-num-batched-tokens`` of
8192, which are the defaults of an API server on such cards (``vllm/engine/arg_utils.py``): the record has neither.
The record's share of 0.9 is read as the engine's default, which is 0.92 since 0.20.0; with 0.9, one of those starts
would have taken less than nothing. DeepSeek-V4-Pro is left out: its shape is not published.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.llmops.inference.plugins.module_utils._plan.engine_versions import behaviour
from ansible_collections.llmops.inference.plugins.module_utils._plan.overhead import Shape, Workload
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB

HERE = Path(__file__).resolve().parent
OWN = HERE.parents[1] / "gpu" / "measured"
TOTAL_GIB = {"H200": 139.81, "B200": 178.35}  # CUDA's total, in the logs of these cards
CAPABILITY = {"H200": 90, "B200": 100, "H100": 90}
RECORDED_DEFAULT = 0.9
WARM_COMPILE_SECONDS = 15  # a model that the cache has takes 4 to 12 s, another one 25 to 58 s
NAMES = {"qwen3-1.7b": "Qwen/Qwen3-1.7B", "qwen3-8b": "Qwen/Qwen3-8B", "qwen3-32b": "Qwen/Qwen3-32B"}


@dataclass(frozen=True)
class Start:
    """One measured start: ``overhead_gib`` is what its share held beside the weights as logged and the cache."""

    model: str  # the shape's name: checkpoints of one shape are one model
    checkpoint: str
    gpu: str
    own: bool
    shape: Shape
    run: Workload
    overhead_gib: float
    graphs_gib: float | None
    cache_gib: float
    count: int = 1


def shapes() -> dict[str, Shape]:
    """Return the shapes of the measured models, from their config.json."""
    read = json.loads((HERE / "shapes.json").read_text(encoding="utf-8"))
    return {name: Shape(**values) for name, values in read.items()}


def published() -> Iterator[Start]:
    """Yield the published starts whose model has a shape here."""
    known = shapes()
    with (HERE / "starts.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            name = _name(row["model"], known)
            if name is None:
                continue
            share = float(row["share"])
            version = row["engine"]
            if share == RECORDED_DEFAULT:
                share = float(behaviour(version).default_share)
            quantized = any(mark in row["model"] for mark in ("FP8", "NVFP4", "DeepSeek"))
            # Of 0.11.0, these builds came without FlashInfer's sampler: it sorts as that of 0.11.1.
            sorts = version.startswith("0.11.0+rhai")
            run = Workload(
                batched_tokens=8192,
                sequences=1024,
                ranks=int(row["ranks"]),
                length=0,  # the rotary table is in the weights as logged
                engine_version="0.11.1" if sorts else version,
                capability=CAPABILITY[row["gpu"]],
            )
            taken = share * TOTAL_GIB[row["gpu"]] - float(row["weights_gib"]) - float(row["cache_gib"])
            shape = Shape(**{**vars(known[name]), "quantized": quantized})
            graphs = float(row["graphs_gib"]) if row["graphs_gib"] else None
            yield Start(
                name,
                row["model"],
                row["gpu"],
                False,
                shape,
                run,
                taken,
                graphs,
                float(row["cache_gib"]),
                int(row["starts"]),
            )


def own() -> Iterator[Start]:
    """Yield this project's own starts on H100 that nobody else's start disturbed."""
    known = shapes()
    for path in sorted(OWN.glob("*h100-80gb-vllm-0.24.0/*.json")):
        if path.stem == "together":
            continue
        for step in json.loads(path.read_text(encoding="utf-8")).get("steps", ()):
            log = step.get("log", {}) if isinstance(step, dict) else {}
            if "start" not in step or step["outcome"] != "ready":
                continue
            flags, name = step["start"]["flags"], NAMES[step["start"]["model"]]
            total = (step["before"]["total"] - step["before"]["reserved"]) / GIB
            taken = flags["gpu-memory-utilization"] * total - log["weights_gib"] - log["available_kv_gib"]
            environment = step["start"].get("environment") or {}
            run = Workload(
                batched_tokens=flags["max-num-batched-tokens"],
                sequences=flags["max-num-seqs"],
                ranks=flags.get("tensor-parallel-size", 1),
                length=0,
                engine_version="0.24.0",
                capability=CAPABILITY["H100"],
                compiled=log["compile_s"] < WARM_COMPILE_SECONDS,
                nccl_graphs="disable-custom-all-reduce" in flags,
                flashinfer=False,  # was not installed (tests/gpu/README.md)
                runner="1" if environment.get("VLLM_USE_V2_MODEL_RUNNER") == "0" else None,
            )
            yield Start(name, name, "H100", True, known[name], run, taken, log["graphs_gib"], log["available_kv_gib"])


def _name(checkpoint: str, known: dict[str, Shape]) -> str | None:
    """Return the shape of a checkpoint: the longest one whose last part begins its name."""
    tail = checkpoint.rsplit("/", maxsplit=1)[-1].replace("NVIDIA-", "")
    found = [name for name in known if tail.startswith(name.split("/")[-1])]
    return max(found, key=len) if found else None
