# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Greedy answers of two sides to the same prompts, held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.quality import token_agreement
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import SIDES, RunResult, ServiceResult


def with_agreement(runs: Sequence[RunResult]) -> list[RunResult]:
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

    def told(run: RunResult, service: ServiceResult) -> ServiceResult:
        other, quality = answers.get((run.round, service.service)), service.quality
        if other is None or not quality.greedy_tokens or quality.greedy_agreement is not None:
            return service
        return replace(
            service, quality=replace(quality, greedy_agreement=token_agreement(other, quality.greedy_tokens))
        )

    return [
        replace(run, services=tuple(told(run, service) for service in run.services)) if run.side == SIDES[1] else run
        for run in runs
    ]
