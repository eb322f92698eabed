# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a loading engine is doing, out of its journal. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

# In the order in which an engine goes through them; a later line of the journal replaces an earlier phase.
_PHASES: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"vllm-guard: waiting: (?P<detail>.*)", "waiting: {detail}"),
        (r"vLLM API server version|vLLM server version|non-default args", "engine starting"),
        (r"Initializing a V1 LLM engine", "engine initialising"),
        (r"Starting to load model", "loading weights"),
        (r"Loading safetensors checkpoint shards:\s+(?P<detail>\d+%)", "loading weights {detail}"),
        (r"Loading weights took|Model loading took", "weights loaded"),
        (
            r"torch\.compile takes|Dynamo bytecode transform|Compiling a graph|Warming up model",
            "compiling and warming up",
        ),
        (r"Capturing CUDA graphs?.*?(?P<detail>\d+%)?", "capturing CUDA graphs {detail}"),
        (
            r"GPU KV cache size: (?P<detail>[\d,]+ tokens)|CPU KV cache size: (?P<cpu>[\d,]+ tokens)",
            "KV cache of {detail}",
        ),
        (r"Application startup complete", "listening, generating the first token"),
        (r"vllm-guard: generated its first token in (?P<detail>[\d.]+ s)", "first token in {detail}"),
    )
)


def phase(line: str) -> str | None:
    """The phase that a journal line announces, or None."""
    for pattern, text in reversed(_PHASES):
        match = pattern.search(line)
        if match:
            details = [value for value in match.groupdict().values() if value]
            return text.format(detail=details[0] if details else "").strip()
    return None
