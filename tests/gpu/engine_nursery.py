# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start engines one after the other and import the engine's packages only once.

A process imports the engine, touches no GPU, and forks for every start that it is asked for. The child makes its own
CUDA context, as an engine's core does, so its memory is that of an ordinary start. Paths of requests come on standard
input, one a line. Answers are files beside the request: ``NAME.log``, ``NAME.ready`` (JSON), ``NAME.loaded`` after a
``NAME.load`` was written (JSON: requests, prompt_tokens, tokens), and ``NAME.ended``. ``NAME.stop`` ends an engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

PAUSE = 0.05  # seconds between looks at the files


def main() -> int:
    """Import the engine, then serve requests until standard input ends."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the core in the process that asks
    import vllm.entrypoints.llm  # noqa: PLC0415
    import vllm.model_executor.models.qwen3  # noqa: PLC0415
    import vllm.v1.attention.backends.flash_attn  # noqa: PLC0415
    import vllm.v1.engine.core  # noqa: PLC0415
    import vllm.v1.executor.uniproc_executor  # noqa: PLC0415
    import vllm.v1.worker.gpu.model_runner  # noqa: F401, PLC0415

    print("ready", flush=True)
    for line in sys.stdin:
        request = Path(line.strip())
        child = os.fork()
        if child == 0:
            _be_engine(request)
        print(child, flush=True)
        _pid, status = os.waitpid(child, 0)
        request.with_suffix(".ended").write_text(f"{os.waitstatus_to_exitcode(status)}\n", encoding="ascii")
    return 0


def _be_engine(request: Path) -> None:
    """Be the engine that a request describes, and end this process."""
    status = 1
    try:
        with request.with_suffix(".log").open("wb", buffering=0) as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        os.setsid()
        asked = json.loads(request.read_text(encoding="utf-8"))
        os.environ.update(asked.get("environment", {}))
        _serve(request, asked)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _serve(request: Path, asked: dict[str, Any]) -> None:
    from vllm import LLM  # noqa: PLC0415

    options = {flag.replace("-", "_"): value for flag, value in asked["flags"].items()}
    engine = LLM(model=asked["model"], **options)
    _generate(engine, 1, 16, 16)
    config = engine.llm_engine.vllm_config
    _answer(
        request.with_suffix(".ready"),
        {
            "block_size": str(config.cache_config.block_size),
            "num_gpu_blocks": str(config.cache_config.num_gpu_blocks),
            "gpu_memory_utilization": str(config.cache_config.gpu_memory_utilization),
            "cache_dtype": str(config.cache_config.cache_dtype),
            "max_model_len": config.model_config.max_model_len,
        },
    )
    load = request.with_suffix(".load")
    while not request.with_suffix(".stop").exists():
        if load.exists():
            what = json.loads(load.read_text(encoding="utf-8"))
            load.unlink()
            began = time.monotonic()
            answered = _generate(engine, what["requests"], what["prompt_tokens"], what["tokens"])
            seconds = round(time.monotonic() - began, 2)
            result = {"requests": what["requests"], "answered": answered, "seconds": seconds}
            _answer(request.with_suffix(".loaded"), result)
        time.sleep(PAUSE)


def _generate(engine: Any, requests: int, prompt_tokens: int, tokens: int) -> int:
    """Generate from that many prompts at once, sampling with top-k and top-p; return how many were answered."""
    from vllm import SamplingParams  # noqa: PLC0415

    sampling = SamplingParams(temperature=1.0, top_k=50, top_p=0.9, max_tokens=tokens, ignore_eos=True)
    prompts = [{"prompt_token_ids": [(n + i) % 256 for i in range(prompt_tokens)]} for n in range(requests)]
    return len(engine.generate(prompts, sampling, use_tqdm=False))


def _answer(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
