# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The combinations of share, context length, number of services and order that are tried. Pure.

A fixed grid along each axis, in steps in which people change such numbers. No number here comes from the planner, so
that how near a combination is to one of its borders is chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

GIB = 1 << 30
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
# Bytes of KV cache per token of the models of tests/testbed/make_model.py, smallest first.
TOKEN_BYTES = {"micro": 1024, "mini": 4096, "medium": 16384}
BLOCK = 128
PORT = 8100
# What a row may really fill with its caches; a start above it is ended when it has passed its gates.
FILL_LIMIT_BYTES = 8 * GIB
# What the scenario `plan` tries, and what is started cold, too, to see whether starts in forks can be believed.
SAMPLE = (
    "medium-131072-and-0.6-GiB",
    "mini-131072-and-1-GiB-calibrated",
    "mini-131072-and-3-GiB",
    "micro-0.97-alone",
    "two-both-fit-backwards",
    "mini-longest-in-0.06",
)
COLD = (
    "medium-131072-and-0.6-GiB",
    "micro-32768-and-1.4-GiB",
    "micro-0.97-alone",
)


@dataclass(frozen=True)
class Combination:
    """A layout on a machine where ``others_gib`` are in use; ``calibrated``: planned with what was measured.

    ``backwards``: the services are started against the plan's order.
    """

    name: str
    axis: str
    layout: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any] = field(default_factory=lambda: LITERALLY)
    others_gib: float = 0
    backwards: bool = False
    calibrated: bool = False

    @property
    def is_tight(self) -> bool:
        """Whether it may hang on what is free: others have some, or the shares are a good part of the node."""
        shares = sum(item.get("gpu_memory_utilization", 0.0) for item in self.layout)
        return self.others_gib > 0 or shares > 0.4


# Shares that are stated are taken as they are; those that are not are divided from a budget.
LITERALLY: Mapping[str, Any] = {"gpu_memory_budget": 1.0, "on_overcommit": "refuse"}


def within(budget: float) -> Mapping[str, Any]:
    """Return the settings with which the plan divides a budget."""
    return {"gpu_memory_budget": budget, "on_overcommit": "clamp"}


def service(model: str, length: int | str, share: float | None = None) -> dict[str, Any]:
    """Return one service of a layout; a context above the model's own is reached by YaRN."""
    keys: dict[str, Any] = {} if share is None else {"gpu_memory_utilization": round(share, 4)}
    if length == "long":
        keys["rope"], length = YARN, "fit"
    elif isinstance(length, int) and length > 40960:
        keys["rope"] = YARN
    return {
        "name": model,
        "model": f"/srv/models/qwen3-{model}",
        "port": PORT + list(TOKEN_BYTES).index(model),
        "max_model_len": length,
        "max_num_seqs": 16,
        "max_num_batched_tokens": 2048,
        "engine_args": {"enforce-eager": True, "dtype": "bfloat16"},
        **keys,
    }


def cache_bytes(model: str, length: int) -> int:
    """Return the cache of one request of that length, with the engine's null block."""
    return (-(-length // BLOCK) + 1) * BLOCK * TOKEN_BYTES[model]


def calibrating() -> Iterator[Combination]:
    """Yield the starts that are recorded, one for each kind of service, before anything is planned with records."""
    for model in TOKEN_BYTES:
        for length in (32768, 131072):
            yield Combination(f"calibrate-{model}-{length}", "calibration", (service(model, length, 0.16),))


def kind(item: Mapping[str, Any]) -> str:
    """Return what a service of a layout shares its record with."""
    return f"{item['name']}{' with rope' if 'rope' in item else ''}"


def calibrating_for(chosen: Iterable[Combination]) -> list[Combination]:
    """Return those of them that tell about what is planned with records."""
    kinds = {kind(item) for combination in chosen if combination.calibrated for item in combination.layout}
    return [combination for combination in calibrating() if kind(combination.layout[0]) in kinds]


def combinations(total: int) -> list[Combination]:
    """Return what is tried on a node of ``total`` bytes."""
    found = [
        *_shares_for_a_length(total),
        *_lengths_for_a_share(total),
        *_fitted(),
        *_large_shares(),
        *_pairs(),
        *_threes(),
    ]
    assert len({item.name for item in found}) == len(found)
    return found


def _shares_for_a_length(total: int) -> Iterator[Combination]:
    """Vary what a share has beside the cache of one request: from far too little to plenty."""
    lengths = (
        ("micro", 32768),
        ("mini", 40960),
        ("mini", 131072),
        ("medium", 8192),
        ("medium", 40960),
        ("medium", 131072),
    )
    for calibrated in (False, True):
        for model, length in lengths:
            for beside in (0.2, 0.6, 1.0, 1.4, 3.0) if not calibrated else (0.6, 1.0):
                share = (cache_bytes(model, length) + beside * GIB) / total
                name = f"{model}-{length}-and-{beside:g}-GiB{'-calibrated' if calibrated else ''}"
                yield Combination(name, "share", (service(model, length, share),), calibrated=calibrated)


def _lengths_for_a_share(total: int) -> Iterator[Combination]:
    """Vary the length for shares of two decimals: around what they hold, taking 0.75 GiB as gone."""
    for share in (0.05, 0.06, 0.08, 0.1):
        held = (share * total - 0.75 * GIB) / TOKEN_BYTES["medium"]
        for part in (0.5, 0.8, 1.2, 2.0):
            length = min(131072, max(BLOCK, int(held * part) // BLOCK * BLOCK))
            name = f"medium-{share:g}-of-{part:g}-its-cache"
            yield Combination(name, "length", (service("medium", length, share),), calibrated=part == 0.8)


def _fitted() -> Iterator[Combination]:
    """Leave the length to the plan, which takes the longest that it believes in."""
    for budget in (0.03, 0.06, 0.1):
        for model in ("mini", "medium"):
            yield Combination(f"{model}-longest-in-{budget:g}", "fit", (service(model, "long"),), within(budget))


def _large_shares() -> Iterator[Combination]:
    """Vary a share towards the whole of the node and beyond what others leave of it."""
    for share in (0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99, 0.9999, 1.0):
        yield Combination(f"micro-{share:g}-alone", "large share", (service("micro", 8192, share),))
    for others, shares in ((4, (0.5, 0.6, 0.7, 0.75, 0.8, 0.9)), (8, (0.3, 0.4, 0.5, 0.6, 0.7))):
        for share in shares:
            name = f"mini-{share:g}-beside-{others}-GiB"
            yield Combination(name, "large share", (service("mini", 8192, share),), others_gib=others)


def _pairs() -> Iterator[Combination]:
    """Start two services in both orders: both fit, one is too small, both together are too large."""
    pairs = (
        ("both-fit", (0.1, 0.08), 0),
        ("first-too-small", (0.03, 0.08), 0),
        ("second-too-small", (0.1, 0.025), 0),
        ("fit-beside-12-GiB", (0.09, 0.07), 12),
        ("too-large-beside-12-GiB", (0.2, 0.18), 12),
    )
    for what, (first, second), others in pairs:
        layout = (service("medium", 16384, first), service("mini", 16384, second))
        for backwards in (False, True):
            name = f"two-{what}{'-backwards' if backwards else ''}"
            yield Combination(name, "two services", layout, others_gib=others, backwards=backwards)
    for share in (0.5, 0.65):
        layout = (service("medium", 16384, 0.1), service("micro", 8192, share))
        yield Combination(f"two-second-{share:g}", "two services", layout)


def _threes() -> Iterator[Combination]:
    """Start three services in both orders, and the last one with ever more."""
    for what, shares in (("fit", (0.08, 0.06, 0.05)), ("third-too-small", (0.08, 0.06, 0.02))):
        layout = tuple(service(model, 8192, share) for model, share in zip(reversed(TOKEN_BYTES), shares))
        for backwards in (False, True):
            name = f"three-{what}{'-backwards' if backwards else ''}"
            yield Combination(name, "three services", layout, backwards=backwards)
    for share in (0.75, 0.85):
        shares = (0.08, 0.06, share)
        layout = tuple(service(model, 8192, share) for model, share in zip(reversed(TOKEN_BYTES), shares))
        yield Combination(f"three-third-{share:g}", "three services", layout)
