# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the coefficients of the overhead to the measured starts, and judge the fit without each model in turn.

The function is linear in its coefficients once the larger of two peaks is known, so a few steps of least squares end at
the fit. Errors are relative, each start counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from ansible_collections.llmops.inference.plugins.module_utils._plan.overhead import (
    FITTED,
    Coefficients,
    Overhead,
    careful,
    expected,
)
from ansible_collections.llmops.inference.plugins.module_utils._values import GIB

from .starts import Start, own, published

# Read off the starts on H100 and not fitted: the engine logged 0.22 GiB of non-torch memory and 0.01 of rounding. Three
# models there cannot tell elements beside the layers' own from more of those.
HELD = ("libraries", "token_extra")
ROUGH = Coefficients(0.23, 40.0, 16.0, 0.1, 1.0, 0.5, 1.0)
STEPS = 8


@dataclass(frozen=True)
class Error:
    """A start, what is expected of it and what a plan keeps; ``left_out``: by a fit without any start of that model."""

    start: Start
    expected_gib: float
    left_out_gib: float
    careful_gib: float
    careful_left_out_gib: float

    def relative(self, value: float) -> float:
        """Return how far ``value`` is from the measured overhead, as a part of it."""
        return (value - self.start.overhead_gib) / self.start.overhead_gib


def inside_gib(start: Start, of: Coefficients) -> float:
    """Return what is expected of a start inside its share, in GiB."""
    return _gib(expected(start.shape, start.run, of))


def fit(starts: Sequence[Start]) -> Coefficients:
    """Return the coefficients with the least squares of relative errors."""
    names = [item.name for item in fields(Coefficients) if item.name not in HELD]
    of = ROUGH
    weights = np.array([start.count**0.5 / start.overhead_gib for start in starts])
    for _step in range(STEPS):
        base = np.array([inside_gib(start, of) for start in starts])
        columns = []
        for name in names:
            step = max(abs(getattr(of, name)), 0.1) * 1e-3
            moved = replace(of, **{name: getattr(of, name) + step})
            columns.append((np.array([inside_gib(start, moved) for start in starts]) - base) / step)
        slopes = np.stack(columns, axis=1) * weights[:, None]
        rest = (np.array([start.overhead_gib for start in starts]) - base) * weights
        change = np.linalg.lstsq(slopes, rest, rcond=1e-6)[0]
        of = replace(of, **{name: float(getattr(of, name) + d) for name, d in zip(names, change, strict=True)})
    return of


def errors(starts: Sequence[Start], of: Coefficients = FITTED) -> list[Error]:
    """Return the error of every start, by the given coefficients and by a fit without its model."""
    without = {name: fit([item for item in starts if item.model != name]) for name in {item.model for item in starts}}
    return [
        Error(
            start,
            inside_gib(start, of),
            inside_gib(start, without[start.model]),
            _gib(careful(start.shape, start.run, of)),
            _gib(careful(start.shape, start.run, without[start.model])),
        )
        for start in starts
    ]


def every_start() -> list[Start]:
    """Return all starts that the fit takes."""
    return [*published(), *own()]


def _gib(overhead: Overhead) -> float:
    return overhead.inside / GIB


if __name__ == "__main__":
    print(fit(every_start()))  # what FITTED should say
