# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A search for a better layout: candidates are tried by successive halving, as long as the time lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.attempt import Attempt, RunData, measurement
from ansible_collections.llmops.inference.plugins.plugin_utils._report.report import read_results
from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.halving import Trial, next_trial
from ansible_collections.llmops.inference.plugins.plugin_utils._tuning.search import (
    goodput_score,
    ladder,
    most_trials,
    read_within,
    review_file,
    tuning_lines,
    tuning_report,
)


@dataclass(frozen=True)
class Search:
    """What to try: ``found`` is the result of the module vllm_candidates, ``seconds`` the time for all of it."""

    host: str
    found: Mapping[str, Any]
    scenarios: Sequence[str]
    within: Mapping[str, Any]
    seconds: float
    keep: float
    repeats: int
    seed: int

    def __post_init__(self) -> None:
        if not self.candidates:
            raise InferenceError(f"No layout of the space fits {self.host}: {self.found['refusal']}")
        ladder(len(self.candidates), self._halving)
        read_within(self.within)

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """Return the layouts to try; the first is the stated layout where that fits."""
        candidates: Sequence[Mapping[str, Any]] = self.found["candidates"]
        return candidates

    @property
    def _halving(self) -> dict[str, Any]:
        return {"keep": self.keep, "repeats": self.repeats}

    def most(self) -> int:
        """Return how many attempts there are at most."""
        return most_trials(len(self.candidates), self._halving)

    def summary(self) -> str:
        """Return what is going to happen."""
        return (
            f"{len(self.candidates)} layouts to try, of {self.found['drawn']} that were planned, "
            f"{self.found['refused']} refused; at most {self.seconds:.0f} s"
        )

    def next(self, attempts: Sequence[Attempt], now: float, began: float) -> Attempt | None:
        """Return the next attempt; None at the end, and where the time left may be too short."""
        steps = ladder(len(self.candidates), self._halving)
        trials = [self._trial(one) for one in attempts]
        step = next_trial(steps, trials, self.seed, self.seconds - (now - began))
        if step is None:
            return None
        name = f"candidate {step.candidate}"
        # Prompts that this candidate has not seen; the others of the rung are asked the same.
        seen = sum(len(trial.scores) for trial in trials if trial.candidate == step.candidate)
        measurements = [
            measurement(scenario, seen + again, profile=name)
            for again in range(1, step.repeats + 1)
            for scenario in self.scenarios
        ]
        where = f"{name}, rung {step.rung + 1} of {len(steps)}"
        return Attempt(name, where, measurements, now, candidate=step.candidate, rung=step.rung)

    def _scores(self, attempt: Attempt) -> tuple[float, ...]:
        """Return a score per repetition that all scenarios were measured in."""
        count, limits = len(self.scenarios), read_within(self.within)
        whole = [attempt.measured[first : first + count] for first in range(0, len(attempt.measured), count)]
        return tuple(
            goodput_score(read_results([run for runs in group for run in runs]), limits)
            for group in whole
            if len(group) == count
        )

    def _trial(self, attempt: Attempt) -> Trial:
        scores = self._scores(attempt)
        deployed, measured = attempt.served - attempt.began, attempt.ended - attempt.served
        return Trial(attempt.candidate, attempt.rung, scores, deployed, measured)

    def runs_of_failure(self, _attempt: Attempt, _failure: Mapping[str, Any], _now: float) -> list[RunData]:
        """Return no run: a candidate that did not start has no score."""
        return []

    def told(self, attempt: Attempt) -> str:
        """Return the result of an attempt in words."""
        changes = self.candidates[attempt.candidate]["changes"] or "(the layout as it stands)"
        scores = ", ".join(f"{score:.3f}" for score in self._scores(attempt))
        return f"{changes}: " + ("did not start" if attempt.problem else f"good requests/s {scores}")

    def report(self, attempts: Sequence[Attempt], seconds_used: float) -> dict[str, Any]:
        """Return ``report``, the evidence, ``file``, the best layout to review, and ``lines`` for a terminal."""
        trials = [vars(self._trial(one)) for one in attempts]
        trials = [
            {**trial, "scores": list(trial["scores"]), "problem": one.problem} for trial, one in zip(trials, attempts)
        ]
        runs: dict[str, list[RunData]] = {}
        for one in attempts:
            runs.setdefault(str(one.candidate), []).extend(one.runs)
        settings = {
            **self._halving,
            "host": self.host,
            "scenario": ", ".join(self.scenarios),
            "within": self.within,
            "seed": self.seed,
            "start_fits": self.found["start_fits"],
            "considered": {key: self.found[key] for key in ("combinations", "drawn", "refused", "refusal")},
            "seconds": self.seconds,
            "seconds_used": seconds_used,
        }
        read = {number: read_results(found) for number, found in runs.items() if found}
        report = tuning_report(self.candidates, trials, settings, read)
        return {"report": report, "file": review_file(report), "lines": tuning_lines(report)}
