# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An answer as lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ansible_collections.llmops.inference.plugins.plugin_utils._table import table

_CONTEXTS = (("USERS AT A TIME", "users", "{}"), ("LONGEST CONTEXT EACH", "max_model_len", "{} tokens"))
_WEIGHTS = {
    "exact": "exact, from the headers of the safetensors files",
    "estimated": "estimated from config.json",
}


def lines(answer: Mapping[str, Any]) -> list[str]:
    """Return the verdict, the contexts, how sure the numbers are, and how to run the model."""
    return list(_lines(answer))


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"{answer['question']}: {'fits' if answer['fits'] else 'does not fit'}."
    cards, fewest = len(answer["cards"]), answer["fewest_cards"]
    if fewest is not None and fewest < cards:
        yield f"{fewest} of the {cards} cards {'is' if fewest == 1 else 'are'} enough to start it."
    yield from ("", *_certainty(answer))
    if not answer["fits"]:
        return
    yield from ("", *table(_CONTEXTS, answer["contexts"]))
    yield from ("", "By hand:", f"  {answer['command']}")
    yield from ("", "As a service, in an inventory:")
    layout = yaml.safe_dump({"vllm_services_layout": answer["layout"]}, sort_keys=False, width=1000)
    yield from (f"  {line}" for line in layout.splitlines())


def _certainty(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say of each number where it comes from."""
    model = answer["model"]
    note = f": {model['note']}" if model["note"] else ""
    yield f"Weights: {_WEIGHTS.get(model['weights'], model['weights'])}{note}."
    for label, card in {card["label"]: card for card in reversed(answer["cards"])}.items():
        total, reserved = (card[key] >> 20 for key in ("memory_total_bytes", "memory_reserved_bytes"))
        yield (
            f"{label}: {total} MiB by nvidia-smi ({card['memory_total_source']}), "
            f"{reserved} MiB of it kept by the driver ({card['memory_reserved_source']})."
        )
        if card["unified_memory"]:
            yield f"{label}: its memory is the host's; the host's own programs have their part in OTHERS."
    yield "Memory besides weights and cache is an estimate until a start has measured it."
