# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's block arithmetic of a KV cache (``vllm/v1/core/kv_cache_utils.py``) for one rank. Pure.

Layers are gathered in groups that share one pool of blocks. Where all layers keep all tokens there is one group. Where
they differ, each group has as many layers as the rarest kind, and a block of every group has the same bytes: a layer
that keeps less per token has more tokens in a block, and the page of a state is padded to a block of attention.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._model.attention import CROSS, INDEX, LATENT, CacheLayers
from .._model.pattern import CHUNK, FULL, STATE, WINDOW

# Engines before this one report blocks of one group times its tokens as "KV cache size".
CAPACITY_BY_REQUEST = (0, 20, 1)
STATE_ALIGNMENT = {"cuda": 16, "cpu": 16}
LATENT_ALIGNMENT = 128
ALIKE = 1.5  # of two kinds whose numbers differ by less, the bigger number is the size of a group


@dataclass(frozen=True)
class CacheGroup:
    """``count`` groups alike, each with its own blocks of ``block_tokens`` tokens in the pool.

    ``reach`` is the tokens that a request keeps at most, 0 for all; ``extra`` the blocks beside them; ``fixed`` the
    blocks of a request whatever its length, where it is not 0.
    """

    count: int
    block_tokens: int
    reach: int = 0
    extra: int = 0
    fixed: int = 0

    def request_blocks(self, length: int) -> int:
        """Return the blocks that one request of ``length`` tokens takes of these groups."""
        if self.fixed:
            return self.count * self.fixed
        kept = min(self.reach, length) if self.reach else length
        return self.count * (-(-kept // self.block_tokens) + self.extra)


@dataclass(frozen=True)
class KvCache:
    """The pool of one rank: ``block_bytes`` are those of a block, all layers of a group together.

    Without groups nothing is kept, as in an encoder. One block of the pool is its own null block.
    """

    block_tokens: int
    block_bytes: int
    groups: tuple[CacheGroup, ...]

    @property
    def full_groups(self) -> int:
        """The groups that keep all tokens."""
        return sum(group.count for group in self.groups if not group.reach and not group.fixed)

    @property
    def window_groups(self) -> int:
        """The groups that keep a window or a chunk."""
        return sum(group.count for group in self.groups if group.reach)

    @property
    def window_tokens(self) -> int:
        """The tokens that a window and the batches under way can touch."""
        return max((group.reach for group in self.groups), default=0)

    def request_blocks(self, length: int) -> int:
        """Return the blocks that one request of ``length`` tokens takes."""
        return sum(group.request_blocks(length) for group in self.groups)

    def request_bytes(self, length: int) -> int:
        """Return the least bytes of cache with which the engine starts at that ``max_model_len``."""
        return (self.request_blocks(length) + 1) * self.block_bytes if self.groups else 0

    def longest(self, available: int, limit: int) -> int:
        """Return the longest context that ``available`` bytes hold: ``limit``, else whole blocks, else 0."""
        if self.request_bytes(limit) <= available:
            return limit
        low, high = 0, limit // self.block_tokens
        while low < high:
            middle = (low + high + 1) // 2
            if self.request_bytes(middle * self.block_tokens) <= available:
                low = middle
            else:
                high = middle - 1
        return low * self.block_tokens

    def requests(self, available: int, length: int) -> float:
        """Return how many requests of ``length`` tokens the cache holds at once."""
        blocks = self.request_blocks(length)
        return max(0, available) // self.block_bytes / blocks if blocks else 0.0

    def tokens(self, available: int, length: int, version: tuple[int, ...] | None = None) -> int:
        """Return the tokens that the engine reports as "KV cache size" (``get_kv_cache_capacity``).

        An engine before CAPACITY_BY_REQUEST divides the blocks by the groups, whatever a group keeps.
        """
        if version is not None and version < CAPACITY_BY_REQUEST and self.groups:
            groups = sum(group.count for group in self.groups)
            least = min(group.block_tokens for group in self.groups)
            return max(0, available) // self.block_bytes // groups * least
        return int(self.requests(available, length) * length)


@dataclass(frozen=True)
class Terms:
    """What the cache's arithmetic needs beside the model: of the service, of the engine, of the accelerator."""

    ranks: int
    value_bytes: int  # of one value in the cache
    state_bytes: int  # of one value of the engine's type, which states have
    block_tokens: int
    in_flight: int  # tokens of the batches under way
    alignment: int = 16  # of a block beside states, in tokens
    hybrid: bool = True  # False: the engine was told to keep everything in every layer
    state_blocks: int = 1  # of a sequence
    recurrent_bytes: int = 0  # of one value of a recurrent state, where neither model nor engine's type decides
    token_bytes: int = 0  # stated for all layers; 0: it follows from the layers


@dataclass(frozen=True)
class _Page:
    """One kind of layer: ``tokens`` per block, ``size`` bytes of one layer's block."""

    layers: CacheLayers
    tokens: int
    size: int


def lay_out(layers: Sequence[CacheLayers], terms: Terms) -> KvCache:
    """Return the pool and the groups that the engine makes of these layers."""
    if terms.token_bytes:
        return KvCache(terms.block_tokens, terms.block_tokens * terms.token_bytes, (CacheGroup(1, terms.block_tokens),))
    if not layers:
        return KvCache(terms.block_tokens, 0, ())
    if not terms.hybrid:
        layers = [replace(kept, kind=FULL, reach=0) if kept.kind in (WINDOW, CHUNK) else kept for kept in layers]
    pages = [_page(kept, terms) for kept in layers]
    if all(page.layers.kind in (FULL, LATENT, INDEX) for page in pages) and len({page.tokens for page in pages}) == 1:
        size = sum(page.size * page.layers.count for page in pages)
        return KvCache(pages[0].tokens, size, (CacheGroup(1, pages[0].tokens),))
    if any(page.layers.kind == STATE for page in pages):
        pages = _beside_states(pages, terms)
    return _grouped(_same_bytes(pages), terms)


def _page(kept: CacheLayers, terms: Terms) -> _Page:
    if kept.state is not None:
        return _Page(kept, terms.block_tokens, kept.state.bytes(terms.ranks, terms.state_bytes, terms.recurrent_bytes))
    tokens = terms.block_tokens
    return _Page(kept, tokens, -(-tokens // kept.ratio) * kept.token_bytes(terms.ranks, terms.value_bytes))


def _beside_states(pages: Sequence[_Page], terms: Terms) -> list[_Page]:
    """Widen the blocks of attention until one holds a state, and pad the state to it (``_align_hybrid_block_size``)."""
    attention = [page for page in pages if page.layers.kind != STATE]
    states = [page for page in pages if page.layers.kind == STATE]
    if not attention:
        largest = max(page.size for page in states)
        return [replace(page, size=largest) for page in states]
    per_token = max(page.size // page.tokens for page in attention)
    latent = any(page.layers.kind == LATENT for page in attention)
    step = max(terms.alignment, terms.block_tokens, LATENT_ALIGNMENT if latent else 0)
    needed = max(page.size for page in states)
    tokens = max(terms.block_tokens, step * -(-needed // (step * per_token)))
    widened = [_Page(page.layers, tokens, page.size // page.tokens * tokens) for page in attention]
    return widened + [_Page(page.layers, tokens, tokens * per_token) for page in states]


def _same_bytes(pages: Sequence[_Page]) -> list[_Page]:
    """Give the blocks of all layers the bytes of the largest: by more tokens where it divides, else by padding."""
    largest = max(page.size for page in pages)
    found = []
    for page in pages:
        times = largest // page.size if page.size and largest % page.size == 0 and page.layers.kind != STATE else 1
        found.append(_Page(page.layers, page.tokens * times, largest))
    return found


def _grouped(pages: Sequence[_Page], terms: Terms) -> KvCache:
    counts = _merged(pages)
    size = group_size(counts.values())
    groups = tuple(_group(page, -(-count // size), terms) for page, count in counts.items())
    return KvCache(min(group.block_tokens for group in groups), size * pages[0].size, groups)


def _merged(pages: Iterable[_Page]) -> Mapping[_Page, int]:
    """Return the layers of each kind; kinds that keep the same are one."""
    found: dict[_Page, int] = {}
    for page in pages:
        key = replace(page, layers=replace(page.layers, count=0))
        found[key] = found.get(key, 0) + page.layers.count
    return found


def group_size(counts: Iterable[int]) -> int:
    """Return how many layers share a block table (``_get_kv_cache_groups_uniform_page_size``)."""
    present = [count for count in counts if count]
    fewest, most = min(present), max(present)
    return most if most < fewest * ALIKE else fewest


def _group(page: _Page, count: int, terms: Terms) -> CacheGroup:
    kept = page.layers
    if kept.kind == STATE:
        return CacheGroup(count, page.tokens, fixed=terms.state_blocks)
    if kept.kind == CROSS:
        return CacheGroup(count, page.tokens, fixed=math.ceil(kept.reach / page.tokens))
    if kept.kind == WINDOW:  # it may begin and end within a block
        return CacheGroup(count, page.tokens, kept.reach - 1 + terms.in_flight, 1)
    if kept.kind == CHUNK:
        return CacheGroup(count, page.tokens, kept.reach + terms.in_flight)
    return CacheGroup(count, page.tokens)
