# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
<<<<<<< HEAD
"""How much of its greedy answers one side of a comparison says as the other does."""
=======
"""Greedy answers of two sides to the same prompts, held against each other."""
>>>>>>> validate

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

<<<<<<< HEAD
from ansible_collections.llmops.inference.plugins.module_utils._result import SIDES, Result, ServiceResult

Answers = Sequence[Sequence[int]]


def with_agreement(runs: Sequence[Result]) -> list[Result]:
    """Return the runs, those of the later side with the share of greedy tokens that agree with the earlier's.

    Greedy answers are the same in every run of a side, so that its first ones stand for it.
    """
    before: dict[str, Answers] = {}
    for run in runs:
        for service in run.services:
            if run.side == SIDES[0] and service.quality.greedy_tokens:
                before.setdefault(service.service, service.quality.greedy_tokens)

    def judged(service: ServiceResult) -> ServiceResult:
        answers = service.quality.greedy_tokens
        if not answers or service.service not in before:
            return service
        share = agreement(before[service.service], answers)
        return replace(service, quality=replace(service.quality, greedy_agreement=share))

    return [replace(run, services=tuple(map(judged, run.services))) if run.side == SIDES[1] else run for run in runs]


def agreement(before: Answers, after: Answers) -> float | None:
    """Return the share of tokens up to where answers part for the first time; None where none were given.

    What follows is an answer to something else, and agrees by chance only.
    """
    same = whole = 0
    for old, new in zip(before, after):
        whole += max(len(old), len(new))
        parted = (place for place, (one, two) in enumerate(zip(old, new)) if one != two)
        same += next(parted, min(len(old), len(new)))
    return same / whole if whole else None
=======
from ansible_collections.llmops.inference.plugins.module_utils._quality import agreement
from ansible_collections.llmops.inference.plugins.module_utils._result import SIDES, Result, ServiceResult


def with_agreement(runs: Sequence[Result]) -> list[Result]:
    """Return the runs, those of the side ``after`` with the share of greedy tokens that equal those of ``before``.

    Held against each other are the two runs of a round; greedy answers do not depend on the scenario.
    """
    answers = {
        (run.round, service.service): service.quality.greedy_tokens
        for run in runs
        if run.side == SIDES[0]
        for service in run.services
        if service.quality.greedy_tokens
    }

    def told(run: Result, service: ServiceResult) -> ServiceResult:
        other, quality = answers.get((run.round, service.service)), service.quality
        if other is None or not quality.greedy_tokens or quality.greedy_agreement is not None:
            return service
        return replace(service, quality=replace(quality, greedy_agreement=agreement(other, quality.greedy_tokens)))

    return [
        replace(run, services=tuple(told(run, service) for service in run.services)) if run.side == SIDES[1] else run
        for run in runs
    ]
>>>>>>> validate
