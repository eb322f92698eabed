# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CUDA takes before an engine allocates a byte: total, context, and communication buffers, step by step.

Run by the engine's Python on GPUs that nobody uses; prints JSON. With ``--ranks 2`` each rank has a GPU of its own, and
the buffers that vLLM makes for tensor parallelism follow, in the engine's order.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from ansible_collections.llmops.inference.tests.gpu.gpu_memory import GpuMemory

#: What vLLM makes for a tensor-parallel group, in its order (``vllm/distributed/device_communicators``).
COMMUNICATORS = {
    "vLLM's NCCL communicator": ("pynccl", "PyNcclCommunicator"),
    "vLLM's symmetric memory": ("symm_mem", "SymmMemCommunicator"),
    "vLLM's custom all-reduce": ("custom_all_reduce", "CustomAllreduce"),
}
BATCH_BYTES = 8192 * 5120 * 2  # hidden states of 8192 tokens of Qwen3-32B


class Steps:
    """One rank, and what it and its GPU held after each step."""

    def __init__(self, rank: int, barrier: Any = None) -> None:
        self._nvml = GpuMemory(rank)
        self._barrier = barrier
        self.done: list[dict[str, Any]] = []

    def note(self, step: str, **more: Any) -> None:
        """Record what is held once every rank has come this far."""
        if self._barrier is not None:
            self._barrier.wait()
        cuda_free, cuda_total = torch.cuda.mem_get_info() if torch.cuda.is_initialized() else (None, None)
        self.done.append(
            {
                "step": step,
                "nvml": self._nvml.now(),
                "nvml_process_bytes": self._nvml.processes().get(os.getpid()),
                "cuda_total": cuda_total,
                "cuda_free": cuda_free,
                "torch_reserved": torch.cuda.memory_reserved() if torch.cuda.is_initialized() else 0,
                **more,
            }
        )
        if self._barrier is not None:
            self._barrier.wait()


def measure(rank: int, ranks: int, directory: str, barrier: Any = None) -> list[dict[str, Any]]:
    """Take the steps of one rank."""
    steps = Steps(rank, barrier)
    steps.note("before")
    torch.cuda.set_device(rank)
    torch.cuda.init()
    torch.cuda.current_stream().synchronize()
    steps.note("context")
    torch.cuda.mem_get_info()
    block = torch.zeros(1 << 20, device="cuda")
    torch.cuda.synchronize()
    steps.note("first tensor")
    del block
    torch.cuda.empty_cache()
    steps.note("first tensor freed")
    matrix = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    matrix @ matrix
    torch.cuda.synchronize()
    del matrix
    torch.cuda.empty_cache()
    steps.note("matrix product, cache emptied")
    torch.distributed.init_process_group(
        "nccl", init_method=f"file://{directory}/rendezvous", rank=rank, world_size=ranks
    )
    steps.note("process group")
    if ranks > 1:
        _communicators(steps, rank)
    _all_reduce(1 << 20, torch.float32)
    steps.note(f"all-reduce of {'one rank' if ranks == 1 else f'{ranks} ranks'}")
    if ranks > 1:
        _all_reduce(BATCH_BYTES // 2, torch.bfloat16)
        steps.note("all-reduce of a batch")
        torch.cuda.synchronize()
    torch.distributed.destroy_process_group()
    return steps.done


def _all_reduce(elements: int, dtype: torch.dtype) -> None:
    torch.distributed.all_reduce(torch.ones(elements, device="cuda", dtype=dtype))
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def _communicators(steps: Steps, rank: int) -> None:
    """Make what vLLM makes, one after the other, and keep it."""
    group = torch.distributed.new_group(backend="gloo")
    kept: list[Any] = []
    for step, (module, name) in COMMUNICATORS.items():
        try:
            made = getattr(importlib.import_module(f"vllm.distributed.device_communicators.{module}"), name)
            kept.append(made(group=group, device=torch.device("cuda", rank)))
            more = {"disabled": kept[-1].disabled}
        except Exception as error:  # whatever one of them lacks, the others are still worth knowing
            more = {"failed": repr(error)}
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        steps.note(step, **more)
        if step == "vLLM's NCCL communicator" and kept:
            kept[-1].all_reduce(torch.ones(BATCH_BYTES // 2, device="cuda", dtype=torch.bfloat16))
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
            steps.note("a batch through it")


def _rank(rank: int, ranks: int, directory: str, barrier: Any) -> None:
    steps = measure(rank, ranks, directory, barrier)
    Path(directory, f"{rank}.json").write_text(json.dumps(steps), encoding="utf-8")


def main() -> None:
    """Print the steps of one rank, or of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=1)
    ranks = parser.parse_args().ranks
    with tempfile.TemporaryDirectory() as directory:
        if ranks == 1:
            steps: dict[str, Any] = {"steps": measure(0, 1, directory)}
        else:
            barrier = torch.multiprocessing.get_context("spawn").Barrier(ranks)
            torch.multiprocessing.spawn(_rank, args=(ranks, directory, barrier), nprocs=ranks)
            files = [Path(directory, f"{rank}.json") for rank in range(ranks)]
            steps = {"ranks": [json.loads(file.read_text(encoding="utf-8")) for file in files]}
    version = ".".join(str(part) for part in torch.cuda.nccl.version())
    print(json.dumps({"torch": torch.__version__, "nccl": version, **steps}, indent=1))


if __name__ == "__main__":
    main()
