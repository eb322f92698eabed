# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An attempt of an experiment: one layout on the host, deployed and measured, with the time and the result of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RunData = Mapping[str, Any]


@dataclass
class Attempt:
    """A layout to deploy and measure. Attempts of one ``name`` deploy the same layout.

    ``measurements`` are arguments of the role vllm_validation, in their order; ``measured`` has the runs of each.
    ``generation`` is 0 until the layout has started once. ``began``, ``served`` and ``ended`` are Unix times
    (seconds). ``problem`` says why the layout did not start. A comparison has a ``round``, a search has ``rung`` and
    ``candidate``.
    """

    name: str
    where: str
    measurements: list[dict[str, Any]]
    began: float
    round: int = 0
    candidate: int = 0
    rung: int = 0
    generation: int = 0
    served: float = 0.0
    ended: float = 0.0
    problem: str | None = None
    measured: list[list[RunData]] = field(default_factory=list)

    @property
    def runs(self) -> list[RunData]:
        """Return the runs of all measurements."""
        return [run for runs in self.measured for run in runs]


def measurement(scenario: str, repeat: int, **other: Any) -> dict[str, Any]:
    """Return a measurement; ``other`` are ``profile``, ``side`` and ``quality``."""
    return {"scenario": scenario, "repeat": repeat, "profile": "", "side": "", "quality": False, **other}


def generation_of(attempts: Sequence[Attempt], name: str) -> int:
    """Return the generation that holds the layout of this name; 0 if the layout never started."""
    return max((one.generation for one in attempts if one.name == name), default=0)
