# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tensors that a checkpoint of a geometry holds, where there are no files to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from .body import Body, layer_modules
from .geometry import Geometry
from .quantisation import Quantization, Scheme
from .tensors import Tensor, TensorGroup, stored

Counted = tuple[str, tuple[int, ...], str, int]  # name, shape, element type, how many
# Modules that no quantization takes: they are not linear layers to the engine, or always kept as they are.
_NEVER = {
    "mlp.gate",
    "router",
    "mlp.shared_expert_gate",
    "hc_fn",
    "attn.compressor.wkv",
    "attn.indexer.compressor.wkv",
    "mamba.A_log",
}


@lru_cache(maxsize=256)
def expected_tensors(geometry: Geometry) -> tuple[TensorGroup, ...]:
    """Return the tensors that a checkpoint of this geometry holds, or () where its layers are not known."""
    if geometry.body is None:
        return ()
    dtype = {1: "F8_E4M3", 2: "BF16", 4: "F32"}[geometry.dtype_bytes]
    counts: dict[Tensor, int] = {}
    for name, shape, kind, count in _Expected(geometry.body, dtype).tensors(geometry):
        key = (name, kind, shape)
        counts[key] = counts.get(key, 0) + count
    return tuple(TensorGroup(*key, count) for key, count in sorted(counts.items()))


@dataclass(frozen=True)
class _Expected:
    """Writes a body's tensors; ``dtype`` is the element type of what is not quantized."""

    body: Body
    dtype: str

    def tensors(self, geometry: Geometry) -> Iterator[Counted]:
        body = self.body
        yield "model.embed_tokens.weight", (body.vocabulary, body.hidden), self.dtype, 1
        yield "model.norm.weight", (body.hidden,), self.dtype, 1
        if not body.tied and not geometry.encoder:
            head = body.linear if body.linear is not None and body.linear.names("lm_head") else None
            yield from self._linear("lm_head", _scheme(head, "lm_head"), (body.vocabulary, body.hidden), 1)
        yield from self._other_embeddings()
        for place in range(len(body.layers)):
            for module, shape, count in layer_modules(body, place):
                yield from self._module(module, shape, count, place)
        for module, shape, count in geometry.towers:
            if len(shape) == 2 and "pos" not in module:
                yield from self._linear(module, _scheme(body.linear, module), (shape[0], shape[1]), count)
            else:
                yield f"{module}.weight", shape, self.dtype, count

    def _other_embeddings(self) -> Iterator[Counted]:
        body, layers = self.body, len(self.body.layers)
        for name, size in (("position_embeddings", body.positions), ("token_type_embeddings", body.types)):
            if size:
                yield f"model.{name}.weight", (size, body.hidden), self.dtype, 1
        if body.per_layer:
            wide = layers * body.per_layer
            yield "model.embed_tokens_per_layer.weight", (body.per_layer_vocabulary, wide), self.dtype, 1
            yield "model.per_layer_model_projection.weight", (wide, body.hidden), self.dtype, 1
        if body.streams > 1:
            yield "model.altup_projections.weight", (body.hidden, body.hidden), self.dtype, 2 * (body.streams - 1)

    def _module(self, module: str, shape: tuple[int, ...], count: int, place: int) -> Iterator[Counted]:
        name = f"model.layers.N.{module}"
        if len(shape) == 2 and module not in _NEVER:
            scheme = _scheme(self.body.linear, f"layers.{place}.{module}")
            yield from self._linear(name, scheme, (shape[0], shape[1]), count)
            return
        last = module.rsplit(".", 1)[-1]
        kept = last in ("bias", "A_log") or last.endswith("_bias")
        yield name if kept else f"{name}.weight", shape, "F32" if last == "A_log" else self.dtype, count

    def _linear(self, name: str, scheme: Scheme, shape: tuple[int, int], count: int) -> Iterator[Counted]:
        name = name.replace("experts.", "experts.N.")
        for tensor, kind, stored_shape in stored(name, shape, scheme, self.dtype):
            yield tensor, stored_shape, kind, count


def _scheme(quantization: Quantization | None, module: str) -> Scheme:
    return Scheme() if quantization is None else quantization.scheme(module)
