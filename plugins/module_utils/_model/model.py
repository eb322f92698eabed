# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model as the planner sees it: its geometry, and the bytes of its weights on each rank. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InferenceError
from .geometry import FAMILIES, Geometry
from .stages import Stage
from .weights import TensorGroup, expected_tensors, rank_weights


@dataclass(frozen=True)
class Checkpoint:
    """A model as the planner sees it.

    ``source`` is "exact" where the tensors come from the files, "estimated" where they follow from stated
    numbers. ``fingerprint`` identifies the files (names, sizes, headers and config.json; not the tensors).
    """

    geometry: Geometry
    tensors: tuple[TensorGroup, ...]
    source: str
    fingerprint: str | None = None
    stated_bytes: int | None = None

    @property
    def rope_theta(self) -> float | None:
        """Return the base of the rotary embedding; None where the model has none."""
        return self.geometry.rope_theta

    def rank_weights(self, ranks: int, dtype_bytes: int | None = None, stage: Stage | None = None) -> int:
        """Return the bytes of weights on each of ``ranks`` tensor-parallel ranks; with a ``stage``, of its layers.

        A stated total is divided as the tensors of that architecture are, evenly where they are unknown.
        """
        divided = rank_weights(self.tensors, self.geometry, ranks, dtype_bytes, stage)
        if self.stated_bytes is None:
            return divided
        whole = rank_weights(self.tensors, self.geometry, 1, dtype_bytes)
        return -(-self.stated_bytes * divided // whole) if whole else -(-self.stated_bytes // ranks)


def checkpoint_from_geometry(geometry: Mapping[str, Any], where: str = "geometry") -> Checkpoint:
    """Return the checkpoint that a stated geometry describes, for a model that is not on this machine."""
    shape = Geometry.from_config(geometry, where)
    tensors = expected_tensors(shape)
    stated = shape.weights_bytes or (shape.parameters or 0) * shape.dtype_bytes or None
    if not tensors and stated is None:
        raise InferenceError(
            f"{where}: state weights_bytes or parameters; they follow from the other numbers only for "
            f"{', '.join(sorted(FAMILIES))}, unquantized or with fp8, awq or gptq."
        )
    return Checkpoint(shape, tensors, "estimated", stated_bytes=stated)
