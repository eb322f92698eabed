# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensors of a checkpoint, from a header or from a geometry, alike ones together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .quantisation import FP8, INT4, INT8, MXFP4, MXFP8, NF4, NVFP4, PLAIN, Scheme

Tensor = tuple[str, str, tuple[int, ...]]  # name, element type, shape

# safetensors' names of element types, in bytes; types below a byte are stored packed in U8
ELEMENT_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
NUMBER = re.compile(r"\.(\d+)(?=\.)")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.")
TOWERS = ("vision", "visual", "audio", "vit")


@dataclass(frozen=True)
class TensorGroup:
    """``count`` tensors of one name but for layer and expert numbers, one type and one shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    count: int

    @property
    def elements(self) -> int:
        """Values of one of them."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of one of them in the file."""
        return self.elements * ELEMENT_BYTES[self.dtype]

    @property
    def is_tower(self) -> bool:
        """Whether it belongs to a tower for images or sound."""
        return any(word in self.name for word in TOWERS)


def group_tensors(tensors: Iterable[Tensor], layers: int) -> tuple[TensorGroup, ...]:
    """Gather (name, dtype, shape) into groups; leave out layers beyond ``layers``, which the engine skips.

    Such layers, and those under ``mtp``, predict further tokens; the engine loads them for speculative decoding only.
    """
    counts: dict[Tensor, int] = {}
    for name, dtype, shape in tensors:
        layer = LAYER.search(name)
        tower = any(word in name for word in TOWERS)
        if name.startswith(("mtp.", "model.mtp.")):
            continue
        if layer is not None and layers and int(layer.group(1)) >= layers and not tower:
            continue
        key = (NUMBER.sub(".N", name), dtype, shape)
        counts[key] = counts.get(key, 0) + 1
    return tuple(TensorGroup(*key, count) for key, count in sorted(counts.items()))


def stored(name: str, shape: tuple[int, int], scheme: Scheme, dtype: str) -> Iterator[Tensor]:
    """Yield the tensors of one linear layer (outputs, inputs) in a scheme."""
    outputs, inputs = shape
    kind = scheme.kind
    if kind == PLAIN:
        yield f"{name}.weight", dtype, shape
    elif kind in (FP8, INT8, MXFP8) and not scheme.zeros:
        yield f"{name}.weight", "I8" if kind == INT8 else "F8_E4M3", shape
        rows = _parts(outputs, scheme.rows)
        columns = _parts(inputs, scheme.columns)
        if kind == MXFP8:
            yield f"{name}.weight_scale", "F8_E8M0", (outputs, columns)
        elif scheme.rows > 1 or scheme.columns > 1:
            yield f"{name}.weight_scale_inv", "F32", (rows, columns)
        else:
            yield f"{name}.weight_scale", "F32", (outputs, 1) if scheme.rows else (1,)
    elif kind in (NVFP4, MXFP4):
        yield f"{name}.weight_packed", "U8", (outputs, _parts(inputs, 2))
        yield (
            f"{name}.weight_scale",
            "F8_E4M3" if kind == NVFP4 else "F8_E8M0",
            (outputs, _parts(inputs, scheme.columns)),
        )
    elif kind == NF4:
        yield f"{name}.weight_packed", "U8", (outputs, _parts(inputs, 2))
        yield f"{name}.weight_scale", "U8", (outputs, _parts(inputs, scheme.columns))
    else:
        yield from _packed(name, shape, scheme)


def _packed(name: str, shape: tuple[int, int], scheme: Scheme) -> Iterator[Tensor]:
    """Yield integers packed in words of 32 bits, along the outputs as AWQ has them."""
    outputs, inputs = shape
    bits = scheme.bits if scheme.kind in (INT4, INT8) else 4
    rows = _parts(inputs, scheme.columns) if scheme.columns > 0 else 1
    words = -(-outputs * bits // 32)
    yield f"{name}.qweight", "I32", (inputs, words)
    if scheme.zeros:
        yield f"{name}.qzeros", "I32", (rows, words)
    yield f"{name}.scales", "F16", (rows, outputs)


def _parts(size: int, part: int) -> int:
    return -(-size // part) if part else 1
