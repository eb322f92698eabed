# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model as the planner sees it: its geometry, and the bytes of its weights on each rank. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InferenceError
from .expected import expected_tensors
from .geometry import Geometry
from .stages import Stage
from .tensors import TensorGroup
from .weights import made_bytes, rank_weights, unknown


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
    def unknown_tensors(self) -> tuple[str, ...]:
        """The names of tensors of which no rule says how ranks divide them; their share is an estimate."""
        return tuple(group.name for group in unknown(self.tensors))

    def tier(self, ranks: int) -> str:
        """Return how sure the bytes of weights on one of ``ranks`` ranks are: as ``source``, or "estimated"."""
        return "estimated" if ranks > 1 and self.unknown_tensors else self.source

    def rank_weights(self, ranks: int, dtype_bytes: int | None = None, stage: Stage | None = None) -> int:
        """Return the bytes of weights on each of ``ranks`` tensor-parallel ranks; with a ``stage``, of its layers.

        A stated total is divided as the tensors of that architecture are, evenly where they are unknown.
        """
        divided = rank_weights(self.tensors, self.geometry, ranks, dtype_bytes, stage)
        if self.stated_bytes is None:
            return divided + made_bytes(self.tensors, self.geometry, ranks, dtype_bytes, stage)
        whole = rank_weights(self.tensors, self.geometry, 1, dtype_bytes)
        return -(-self.stated_bytes * divided // whole) if whole else -(-self.stated_bytes // ranks)


def stated_weights(shape: Geometry) -> int | None:
    """Return the bytes of all weights that a user states, as bytes or as a number of parameters; None without."""
    return shape.weights_bytes or (shape.parameters or 0) * shape.dtype_bytes or None


def checkpoint_from_geometry(geometry: Mapping[str, Any], where: str = "geometry") -> Checkpoint:
    """Return the checkpoint that a stated geometry describes, for a model that is not on this machine."""
    shape = Geometry.from_config(geometry, where)
    tensors = expected_tensors(shape)
    stated = stated_weights(shape)
    if not tensors and stated is None:
        raise InferenceError(
            f"{where}: state weights_bytes or parameters, or the fields of config.json from which they follow: "
            "hidden_size, num_hidden_layers, vocab_size and their like."
        )
    return Checkpoint(shape, tensors, "estimated", stated_bytes=stated)
