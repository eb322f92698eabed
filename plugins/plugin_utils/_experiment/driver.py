# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver of an experiment on a host: which step is next, after each step that was done.

The role vllm_experiment carries the steps out and tells the driver of every result. All that the driver knows are
these results, so that the next step follows from them, from the experiment and from the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.attempt import (
    Attempt,
    RunData,
    generation_of,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.comparison import Comparison
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.search import Search
from ansible_collections.llmops.inference.plugins.plugin_utils._report.not_started import is_finding


@dataclass
class Driver:
    """Chooses the steps of an ``experiment`` that ``began`` at a Unix time (seconds); ``attempts`` grow by each."""

    experiment: Comparison | Search
    began: float
    attempts: list[Attempt]

    def next(self, now: float) -> Attempt | None:
        """Return the next attempt, None at the end; its ``generation`` is 0 for a layout that never started."""
        attempt = self.experiment.next(self.attempts, now, self.began)
        if attempt is not None:
            attempt.generation = generation_of(self.attempts, attempt.name)
            self.attempts.append(attempt)
        return attempt

    def deployed(self, generation: int, now: float) -> Attempt:
        """Note that the last attempt serves, as this generation."""
        attempt = self.attempts[-1]
        attempt.generation, attempt.served, attempt.ended = generation, now, now
        return attempt

    def failed(self, failure: Mapping[str, Any], now: float) -> Attempt:
        """Note that the layout of the last attempt does not start.

        Raises InferenceError with the message of ``failure``, a task's result, where the deployment failed for another
        reason, such as a mistake in the layout or a lost host.
        """
        message = str(failure.get("msg", failure))
        if not is_finding(failure):
            raise InferenceError(message)
        attempt = self.attempts[-1]
        attempt.served, attempt.ended, attempt.problem = now, now, message
        attempt.measurements = []
        runs = self.experiment.runs_of_failure(attempt, failure, now)
        attempt.measured = [runs] if runs else []
        return attempt

    def measured(self, runs: Sequence[RunData], now: float) -> Attempt:
        """Note the runs of the next measurement of the last attempt."""
        attempt = self.attempts[-1]
        attempt.measured.append(list(runs))
        attempt.ended = now
        return attempt

    def told(self, now: float) -> str:
        """Return the result of the last attempt in words, and the time so far."""
        attempt = self.attempts[-1]
        return f"{attempt.where}: {self.experiment.told(attempt)}; {now - self.began:.0f} s so far"


def rollback(found: Mapping[str, Any], host: str, candidates: int) -> dict[str, Any]:
    """Return how to return ``host`` to what it serves, before anything is tried there.

    ``found`` is the result of the module vllm_deployment_info. The answer has ``tasks_from`` of the role vllm_services,
    its ``generation`` (0 for none), and ``keep_generations``: the generations of before and of every layout that is
    tried stay until the host has returned. Raises InferenceError where the host could not return.
    """
    served = found["generation"]
    now = next((one for one in found["generations"] if one["number"] == served), {"problem": None})
    if found["transaction"] is not None or now["problem"] is not None:
        problem = now["problem"] or "a deployment is under way or was interrupted"
        raise InferenceError(f"{host} could not roll back to what it serves now: {problem}. Deploy the layout first.")
    return {
        "tasks_from": "absent" if served is None else "rolled_back",
        "generation": served or 0,
        "keep_generations": len(found["generations"]) + 2 + candidates,
    }
