# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison: two layouts of a host, the sides, measured in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.attempt import (
    Attempt,
    RunData,
    generation_of,
    measurement,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.not_started import not_started
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import schedule


@dataclass(frozen=True)
class Comparison:
    """What to compare: ``profiles`` has a name for each side, ``quality`` measures the answers once on each side."""

    host: str
    rounds: int
    seed: int
    scenarios: Sequence[str]
    profiles: Mapping[str, str]
    quality: bool

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InferenceError(f"There are {self.rounds} rounds; state at least 1 (vllm_experiment_rounds).")

    def most(self) -> int:
        """Return how many attempts there are at most."""
        return 2 * self.rounds

    def summary(self) -> str:
        """Return what is going to happen."""
        return f"{self.rounds} rounds, {' and '.join(self.profiles)} in turns"

    def next(self, attempts: Sequence[Attempt], now: float, _began: float) -> Attempt | None:
        """Return the attempt of the next turn; a side that never started is not tried again."""
        done = {(one.round, one.name) for one in attempts}
        for number, sides in enumerate(schedule(self.rounds, self.seed), 1):
            for side in sides:
                own = [one for one in attempts if one.name == side]
                hopeless = any(one.problem for one in own) and not generation_of(own, side)
                if (number, side) not in done and not hopeless:
                    return self._attempt(number, side, first=not own, now=now)
        return None

    def _attempt(self, number: int, side: str, *, first: bool, now: float) -> Attempt:
        # The same text has the same perplexity in every run.
        measurements = [
            measurement(
                scenario,
                number,
                profile=self.profiles[side],
                side=side,
                quality=self.quality and first and place == 0,
            )
            for place, scenario in enumerate(self.scenarios)
        ]
        return Attempt(side, f"{side}, round {number} of {self.rounds}", measurements, now, round=number)

    def runs_of_failure(self, attempt: Attempt, failure: Mapping[str, Any], now: float) -> list[RunData]:
        """Return the run that says why a side did not start."""
        started = datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        run = {"started": started, "host": self.host, "side": attempt.name, "round": attempt.round}
        return [not_started(failure, self.scenarios, **run, profile=self.profiles[attempt.name])]

    def told(self, attempt: Attempt) -> str:
        """Return the result of an attempt in words."""
        return f"did not start: {attempt.problem}" if attempt.problem else f"{len(attempt.runs)} runs"

    def report(self, attempts: Sequence[Attempt], _seconds_used: float) -> dict[str, Any]:
        """Return ``runs``, those of all attempts."""
        return {"runs": [run for one in attempts for run in one.runs]}
