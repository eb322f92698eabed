# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How good a service's answers are: the perplexity of a reference text, and greedy answers to fixed prompts."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from .._errors import InferenceError
from .._generation.serving import Served
from .client import Client
from .reference_text import GREEDY_PROMPTS, reference_text
from .result import Quality

SHORT_TOKENS = 512
# Of the long text the last quarter counts: there the context is long.
_LONG_SHARE, _COUNTED_SHARE = 0.9, 0.25
_GREEDY_TOKENS = 32
# While it asks for log-probabilities, an engine holds logits of two bytes and their logarithms of four.
_BYTES_PER_LOGIT = 6


@dataclass(frozen=True)
class Text:
    """A text to ask for: its tokens, and from which on they count."""

    tokens: Sequence[int]
    counted_from: int


def texts(max_model_len: int, tokens: Sequence[int]) -> tuple[Text, Text | None]:
    """Return the short and the long text for a context; no long one where the context is not much longer."""
    short = min(SHORT_TOKENS, max_model_len - 1, len(tokens))
    long = min(math.floor(max_model_len * _LONG_SHARE), len(tokens))
    counted = math.floor(long * (1 - _COUNTED_SHARE))
    return Text(tokens[:short], 1), Text(tokens[:long], counted) if long > 2 * short else None


def perplexity(logprobs: Sequence[Mapping[str, Any] | None], text: Text) -> float:
    """Return the perplexity of the tokens that count, out of the engine's ``prompt_logprobs``.

    These have an entry per token: None for the first, else the log-probability of the token by its number.
    """
    if len(logprobs) != len(text.tokens):
        raise InferenceError(f"the engine told log-probabilities of {len(logprobs)} of {len(text.tokens)} tokens")
    found = []
    for token, told in list(zip(text.tokens, logprobs))[max(1, text.counted_from) :]:
        if told is None or str(token) not in told:
            raise InferenceError(f"the engine told no log-probability of token {token}")
        found.append(float(told[str(token)]["logprob"]))
    return math.exp(-sum(found) / len(found))


def logits_bytes(tokens: int, max_num_batched_tokens: int, vocabulary: int) -> int:
    """Return the bytes that an engine holds at once for the log-probabilities of a prompt."""
    return min(tokens, max_num_batched_tokens) * vocabulary * _BYTES_PER_LOGIT


def token_agreement(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float | None:
    """Return the share of tokens that are the same at the same place; None where there is nothing to compare."""
    total = sum(max(len(a), len(b)) for a, b in zip(one, other))
    if len(one) != len(other) or not total:
        return None
    return sum(a == b for left, right in zip(one, other) for a, b in zip(left, right)) / total


def probe(service: Served, client: Client, free_bytes: int | None, warn: Callable[[str], None]) -> Quality:
    """Ask a service for what it thinks of the texts, and for greedy answers.

    ``free_bytes`` is what its device has free, None where nothing tells; a text whose logits need more is left out, and
    ``warn`` is told.
    """
    planned = service.planned
    greedy = tuple(_greedy(client, prompt) for prompt in GREEDY_PROMPTS)
    if not can_rank(service.environment):
        warn(
            f"{service.name}: the perplexity of the texts was not measured: this host has no C++ compiler, and an "
            "engine that is asked for log-probabilities compiles then, and dies without one; install g++, or give the "
            "service the environment {TORCHDYNAMO_DISABLE: 1}"
        )
        return Quality(greedy_tokens=greedy)
    tokens = client.tokens(reference_text(planned.max_model_len))
    short, long = texts(planned.max_model_len, tokens)
    vocabulary = read_vocabulary(planned.model)
    found: dict[str, float | None] = {}
    for name, text in (("short", short), ("long", long)):
        if text is None:
            continue
        needed = logits_bytes(len(text.tokens), planned.max_num_batched_tokens, vocabulary)
        if free_bytes is not None and needed > free_bytes:
            warn(
                f"{service.name}: the perplexity of the {name} text was not measured: its logits may take "
                f"{needed} bytes, and its device has {free_bytes} free; lower gpu_memory_budget, or "
                "max_num_batched_tokens, to measure it"
            )
            continue
        answer = client.complete(text.tokens, 1, prompt_logprobs=0)
        found[name] = perplexity(answer.get("prompt_logprobs") or [], text)
    return Quality(
        perplexity_short=found.get("short"),
        perplexity_long=found.get("long"),
        tokens_short=_counted(short) if "short" in found else None,
        tokens_long=_counted(long) if long is not None and "long" in found else None,
        greedy_tokens=greedy,
    )


def can_rank(environment: Mapping[str, str]) -> bool:
    """Tell whether an engine survives a request for log-probabilities: it compiles the ranking of its tokens for it."""
    disabled = any(environment.get(name) == "1" for name in ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"))
    path = environment.get("PATH")
    return disabled or any(shutil.which(name, path=path) for name in (environment.get("CXX", "g++"), "c++", "clang++"))


def _counted(text: Text) -> int:
    return len(text.tokens) - max(1, text.counted_from)


def _greedy(client: Client, prompt: str) -> tuple[int, ...]:
    """One at a time: what else is in a batch may change the last bits of a sum, and with them a token."""
    answer = client.complete(prompt, _GREEDY_TOKENS, return_token_ids=True, ignore_eos=True)
    return tuple(int(token) for token in answer.get("token_ids") or ())


def read_vocabulary(model: str) -> int:
    """Return how many tokens a model knows; InferenceError where its config.json does not say."""
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        return int({**config, **config.get("text_config", {})}["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InferenceError(
            f"{model}/config.json does not say vocab_size ({type(error).__name__}: {error})"
        ) from error
