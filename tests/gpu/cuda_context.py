# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What CUDA takes before an engine allocates a byte: total, context, and NCCL of one rank, step by step.

Run by the engine's Python on a GPU that nobody uses; prints JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

import torch
from ansible_collections.llmops.inference.tests.gpu.gpu_memory import GpuMemory


def main() -> None:
    nvml = GpuMemory(0)
    steps: list[dict[str, Any]] = []

    def note(step: str) -> None:
        cuda_free, cuda_total = torch.cuda.mem_get_info() if torch.cuda.is_initialized() else (None, None)
        steps.append(
            {
                "step": step,
                "nvml": nvml.now(),
                "nvml_process_bytes": nvml.processes().get(os.getpid()),
                "cuda_total": cuda_total,
                "cuda_free": cuda_free,
                "torch_reserved": torch.cuda.memory_reserved() if torch.cuda.is_initialized() else 0,
            }
        )

    note("before")
    torch.cuda.init()
    torch.cuda.current_stream().synchronize()
    note("context")
    torch.cuda.mem_get_info()
    block = torch.zeros(1 << 20, device="cuda")
    torch.cuda.synchronize()
    note("first tensor")
    del block
    torch.cuda.empty_cache()
    note("first tensor freed")
    matrix = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    matrix @ matrix
    torch.cuda.synchronize()
    del matrix
    torch.cuda.empty_cache()
    note("matrix product, cache emptied")
    with tempfile.TemporaryDirectory() as directory:
        torch.distributed.init_process_group("nccl", init_method=f"file://{directory}/rendezvous", rank=0, world_size=1)
        note("process group")
        torch.distributed.all_reduce(torch.ones(1 << 20, device="cuda"))
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        note("all-reduce of one rank")
        torch.distributed.destroy_process_group()
    version = ".".join(str(part) for part in torch.cuda.nccl.version())
    print(json.dumps({"torch": torch.__version__, "nccl": version, "steps": steps}, indent=1))


if __name__ == "__main__":
    main()
