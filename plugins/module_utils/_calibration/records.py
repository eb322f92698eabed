# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that an engine used in one start, as a record that is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._engine.startup_log import ROUNDING_BYTES, StartupLog
from .._plan.plan import Measured
from .._values import is_whole

# Starts that a record keeps; the plan uses the worst of them.
KEPT_STARTS = 8


@dataclass(frozen=True)
class Usage:
    """What one start took on each of its devices, in bytes and tokens; None where nothing told.

    ``share_bytes`` is R, and ``kv_cache_bytes`` what the engine made of it. ``follows_share`` is false where the size
    of the cache was stated to the engine, so that it says nothing about the rest. ``transient_bytes`` is without
    ``graphs_bytes``. ``outside_bytes`` is what lies outside the share.
    """

    share_bytes: int
    kv_cache_bytes: int | None
    kv_cache_tokens: int | None
    follows_share: bool
    weights_bytes: int | None = None
    transient_bytes: int | None = None
    graphs_bytes: int | None = None
    outside_bytes: int | None = None

    @property
    def overhead_bytes(self) -> int | None:
        """What the share was charged with beside the cache."""
        if self.kv_cache_bytes is None or not self.follows_share:
            return None
        return self.share_bytes - self.kv_cache_bytes


def usage(
    share_bytes: int, block_bytes: int, log: StartupLog, blocks: int | None, outside_bytes: int | None = None
) -> Usage:
    """Return what a start used: the log says where its cache came from, the number of blocks how big it is exactly.

    ``blocks`` is the engine's own count, and ``block_bytes`` what the plan takes one for; where their product is not
    what the log says is there, the log wins.
    """
    cache = None if blocks is None else blocks * block_bytes
    if log.kv_cache_bytes is not None:
        low, high = log.kv_cache_bytes - ROUNDING_BYTES, log.kv_cache_bytes + ROUNDING_BYTES
        if cache is None or not low - block_bytes <= cache <= high:
            cache = low
    stated = log.share_bytes is not None and abs(log.share_bytes - share_bytes) > 2 * ROUNDING_BYTES
    graphs, transient = log.graphs_bytes, log.transient_bytes
    if transient is not None:
        transient = max(0, transient - (graphs or 0))
    return Usage(
        share_bytes=share_bytes,
        kv_cache_bytes=cache,
        kv_cache_tokens=log.kv_cache_tokens,
        follows_share=log.kv_cache_bytes is not None and not stated and 0 <= (cache or 0) < share_bytes,
        weights_bytes=log.weights_bytes,
        transient_bytes=transient,
        graphs_bytes=graphs,
        outside_bytes=outside_bytes,
    )


def worst(starts: Sequence[Usage]) -> Measured | None:
    """Return what to plan with after these starts; None where none of them tells."""
    telling = [start for start in starts if start.overhead_bytes is not None]
    if not telling:
        return None
    highest = max(telling, key=lambda start: start.overhead_bytes or 0)
    outside = [start.outside_bytes for start in starts if start.outside_bytes is not None]
    return Measured(
        overhead=highest.overhead_bytes or 0,
        transient=highest.transient_bytes or 0,
        graphs=highest.graphs_bytes or 0,
        outside=max(outside) if outside else None,
    )


def to_record(of: Mapping[str, Any], starts: Sequence[Usage]) -> dict[str, Any]:
    """Return a record in JSON types; ``of`` says in plain words whose it is."""
    return {"schema": 1, "of": dict(of), "starts": [vars(start) for start in starts[-KEPT_STARTS:]]}


def from_record(data: Any) -> list[Usage]:
    """Return the starts of a record, oldest first; what is no record of ours has none."""
    try:
        starts = [Usage(**start) for start in data["starts"]] if data["schema"] == 1 else []
        return [start for start in starts if _is_sound(start)]
    except (TypeError, KeyError):
        return []


def _is_sound(start: Usage) -> bool:
    sizes = [value for name, value in vars(start).items() if name != "follows_share" and value is not None]
    return all(is_whole(size) and size >= 0 for size in sizes) and start.share_bytes > 0
