# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read while an engine loads."""

from __future__ import annotations

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._engine.progress import phase


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("(APIServer pid=84) INFO [api_utils.py:286] non-default args: {'port': 8001}", "engine starting"),
        ("(EngineCore pid=1) INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0)", "engine initialising"),
        ("(Worker pid=184) INFO [cpu_model_runner.py:68] Starting to load model /srv/m...", "loading weights"),
        ("Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01]", "loading weights 50%"),
        ("INFO [default_loader.py:501] Loading weights took 0.02 seconds", "weights loaded"),
        ("INFO [kv_cache_utils.py:2327] CPU KV cache size: 670,592 tokens, Maximum", "KV cache of 670,592 tokens"),
        ("INFO [kv_cache_utils.py:2327] GPU KV cache size: 1,024 tokens, Maximum", "KV cache of 1,024 tokens"),
        ("INFO:     Application startup complete.", "listening, generating the first token"),
        ("vllm-guard: waiting: 'mini' is starting on numa:0", "waiting: 'mini' is starting on numa:0"),
        ("vllm-guard: generated its first token in 0.12 s", "first token in 0.12 s"),
        ("WARNING [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs", None),
        ('INFO:     127.0.0.1:51044 - "POST /v1/completions HTTP/1.1" 200 OK', None),
    ],
)
def test_a_line_of_the_journal_announces_its_phase(line: str, expected: str) -> None:
    assert phase(line) == expected
