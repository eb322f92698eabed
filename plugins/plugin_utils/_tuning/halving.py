# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Successive halving: many candidates are measured a little, the better half of them twice as much, and so on.

What was tried so far is a list of :class:`Trial`; out of it alone follows what to try next, so that a search can be
cut off after any trial and still says what it found. The start, candidate 0, stays in every rung beside the best,
so that in the end both rest on the same number of measurements.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

START = 0


@dataclass(frozen=True)
class Rung:
    """So many candidates, each measured so many times."""

    size: int
    repeats: int


@dataclass(frozen=True)
class Trial:
    """A candidate in a rung. ``scores`` has one number per measurement, higher is better; none: it did not start.

    ``deploy_seconds`` is what it took until it served, ``measure_seconds`` all measurements together.
    """

    candidate: int
    rung: int
    scores: tuple[float, ...]
    deploy_seconds: float
    measure_seconds: float


@dataclass(frozen=True)
class Next:
    """What to try: a candidate, in which rung, and how many measurements of it; ``seconds`` is what that may take."""

    candidate: int
    rung: int
    repeats: int
    seconds: float


def rungs(candidates: int, keep: float, repeats: int) -> list[Rung]:
    """Return the rungs for so many candidates, of which a part ``keep`` (above 0, below 1) goes on to the next.

    The last one has two, and each measures ``1 / keep`` times as often as the one before.
    """
    found = [Rung(candidates, repeats)]
    while found[-1].size > 2:
        size = max(2, min(found[-1].size - 1, math.ceil(found[-1].size * keep)))
        found.append(Rung(size, math.ceil(found[-1].repeats / keep)))
    return found


def next_trial(ladder: Sequence[Rung], trials: Sequence[Trial], seed: int, seconds_left: float) -> Next | None:
    """Return what to try next; None at the end, and where the time left may not be enough for it.

    The rollback to what served before takes a deployment, too, and is part of the time. A first trial, of which nobody
    can know how long it takes, is always made.
    """
    for number, rung in enumerate(ladder):
        members = _members(ladder, trials, number)
        if number and len(members) < 2:
            return None
        random.Random(f"{seed} {number}").shuffle(members)  # what the machine does meanwhile hits nobody by design
        tried = {trial.candidate for trial in trials if trial.rung == number}
        waiting = [candidate for candidate in members if candidate not in tried]
        if waiting:
            needed = _expected_seconds(trials, rung.repeats)
            if trials and needed > seconds_left:
                return None
            return Next(waiting[0], number, rung.repeats, needed)
    return None


def winner(ladder: Sequence[Rung], trials: Sequence[Trial]) -> int | None:
    """Return the best of the last rung that was gone through whole; None where nothing started.

    Those who did not get that far are not compared with it: their scores rest on fewer measurements. Of equals the
    start wins, and then the one drawn first.
    """
    for number in reversed(range(len(ladder))):
        members = _members(ladder, trials, number)
        tried = {trial.candidate for trial in trials if trial.rung == number}
        ranked = _ranked(trials, [one for one in members if one in tried])
        if ranked and (number == 0 or tried >= set(members)):
            return ranked[0]
    return None


def score(trials: Sequence[Trial], candidate: int) -> float | None:
    """Return the mean score over all measurements of a candidate; None where it did not start, be it once."""
    own = [trial for trial in trials if trial.candidate == candidate]
    if not own or not all(trial.scores for trial in own):
        return None
    numbers = [number for trial in own for number in trial.scores]
    return math.fsum(numbers) / len(numbers)


def _members(ladder: Sequence[Rung], trials: Sequence[Trial], number: int) -> list[int]:
    """Who takes part in a rung: all in the first, then the best of the one before, and the start wherever it serves."""
    if number == 0:
        return list(range(ladder[0].size))
    before = _members(ladder, trials, number - 1)
    earlier = [trial for trial in trials if trial.rung < number]
    if not {trial.candidate for trial in earlier if trial.rung == number - 1} >= set(before):
        return []
    best = _ranked(earlier, before)[: ladder[number].size]
    if START not in best and START in before and score(earlier, START) is not None:
        best[-1:] = [START]
    return best


def _ranked(trials: Sequence[Trial], candidates: Sequence[int]) -> list[int]:
    """Those that started, the best first."""
    scores = {candidate: score(trials, candidate) for candidate in candidates}
    return sorted((one for one in candidates if scores[one] is not None), key=lambda one: (-(scores[one] or 0.0), one))


def _expected_seconds(trials: Sequence[Trial], repeats: int) -> float:
    """The slowest of what was seen: a deployment, its measurements, and the rollback."""
    deploy = max((trial.deploy_seconds for trial in trials), default=0.0)
    one = max((trial.measure_seconds / len(trial.scores) for trial in trials if trial.scores), default=0.0)
    return 2 * deploy + repeats * one
