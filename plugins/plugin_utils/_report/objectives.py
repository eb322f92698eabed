# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objectives as an inventory states them, and whether runs keep them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    SCENARIO_NAMES,
    RunResult,
    ServiceResult,
    field_names,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._records import Record
from ansible_collections.llmops.inference.plugins.module_utils._values import as_number
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import (
    Goodput,
    Metric,
    estimate,
    good_share,
    goodput,
    metric,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import Estimate

PASSED, FAILED, NOT_MEASURED = "passed", "failed", "not measured"
# Of all objectives together. Only a miss says anything against what is deployed.
MISSED, NOT_JUDGED = "missed", "could not be judged"
_KEYS = ("service", "scenario", "metric", "max", "min", "within")
# Metrics that ask how many requests kept the limits in ``within``.
_GOOD: dict[str, tuple[str, str, Callable[[ServiceResult, Goodput], float | None]]] = {
    "goodput_share": ("requests in time", "share", good_share),
    "goodput_requests_per_second": ("requests in time per second", "requests/s", goodput),
}


@dataclass(frozen=True)
class Objective:
    """A limit of one metric; exactly one of ``highest`` and ``lowest`` is there."""

    service: str
    scenario: str
    metric: Metric
    highest: float | None
    lowest: float | None

    @property
    def text(self) -> str:
        """What it asks for."""
        limit = f"at most {self.highest:g}" if self.highest is not None else f"at least {self.lowest:g}"
        return f"{self.metric.name} {limit}"


@dataclass(frozen=True)
class Outcome:
    """How an objective fared: the typical value over the runs, and in words what was measured or why not."""

    objective: Objective
    outcome: str
    measured: Estimate | None
    reason: str


def parse_objectives(values: object) -> list[Objective]:
    """Return the objectives of an inventory; one InferenceError lists every mistake, ``errors`` as data."""
    parsed, problems = read_objectives(values)
    if problems:
        raise InferenceError(" ".join(problems), errors=problems)
    return parsed


def read_objectives(values: object) -> tuple[list[Objective], list[str]]:
    """Return the objectives that are well-formed, and a sentence for each mistake in the others."""
    if not isinstance(values, (list, tuple)):
        return [], [f"Objectives are {values!r:.80}; a list of them is expected."]
    parsed, problems = [], []
    for place, value in enumerate(values, 1):
        try:
            parsed.append(_parse(value, f"objective {place}"))
        except InferenceError as error:
            problems.append(str(error))
    return parsed, problems


def check_objectives(runs: Sequence[RunResult], objectives: Sequence[Objective]) -> list[Outcome]:
    """Return how each objective fared, in their order.

    The typical value over all runs counts; its interval is told, not judged. InferenceError names objectives for
    services that no run has.
    """
    known = sorted({service.service for run in runs for service in run.services})
    problems = [_unknown(item, known) for item in objectives if item.service not in known]
    if problems:
        raise InferenceError(" ".join(problems), errors=problems)
    return [_check(runs, objective) for objective in objectives]


def joint_verdict(outcomes: Iterable[str]) -> str:
    """Return the outcome of all objectives: ``missed`` where one is, else ``could not be judged`` or ``passed``."""
    found = set(outcomes)
    return MISSED if FAILED in found else NOT_JUDGED if found - {PASSED} else PASSED


def _parse(value: Any, where: str) -> Objective:
    record = Record(_with_numbers(value), where, _KEYS)
    name = record.required_text("metric")
    try:
        one = _good(name, record) if name in _GOOD else metric(name)
    except InferenceError as error:
        raise InferenceError(f"{where}: {error}") from error
    if name not in _GOOD and record.optional_record("within", field_names(Goodput)) is not None:
        raise InferenceError(f"{where} has within, which only {' and '.join(_GOOD)} take.")
    highest, lowest = record.number("max"), record.number("min")
    if (highest is None) == (lowest is None):
        raise InferenceError(f"{where} has to have either max or min.")
    if (lowest is None) != (one.better == "lower"):
        right, wrong = ("max", "min") if one.better == "lower" else ("min", "max")
        raise InferenceError(
            f"{where} has {wrong} for {one.name}, of which {one.better} is better; state it as {right}."
        )
    return Objective(
        service=record.required_text("service"),
        scenario=record.choice("scenario", SCENARIO_NAMES) or "standard",
        metric=one,
        highest=highest,
        lowest=lowest,
    )


def _with_numbers(value: Any) -> Any:
    """The objective with limits that a template spelled as numbers again."""
    if not isinstance(value, Mapping):
        return value
    read = {key: as_number(value[key]) for key in ("max", "min") if isinstance(value.get(key), str)}
    return {**value, **{key: number for key, number in read.items() if number is not None}}


def _good(name: str, record: Record) -> Metric:
    limits = record.record("within", field_names(Goodput))
    objective = Goodput(**{limit: limits.number(limit) for limit in field_names(Goodput)})
    if objective == Goodput():
        raise InferenceError(f"{name} counts requests within limits; state within: {{{field_names(Goodput)[0]}: 0.5}}.")
    words, unit, read = _GOOD[name]
    said = ", ".join(f"{limit} {value:g}" for limit, value in vars(objective).items() if value is not None)
    return Metric(
        name, f"{words} ({said})", unit, "higher", lambda _run, service: read(service, objective), positive=False
    )


def _check(runs: Sequence[RunResult], objective: Objective) -> Outcome:
    found = [
        (run, service)
        for run in runs
        for service in run.services
        if (service.service, service.scenario) == (objective.service, objective.scenario)
    ]
    if not found:
        return Outcome(objective, NOT_MEASURED, None, f"no run measured it under {objective.scenario}")
    refused = [service.not_started for _run, service in found if service.not_started]
    if refused:
        return Outcome(objective, FAILED, None, f"it could not start: {refused[0].cause}")
    measured = estimate(objective.metric, found, 0.95)
    if measured is None:
        most = max(len(service.requests) for _run, service in found)
        return Outcome(objective, NOT_MEASURED, None, f"no run tells it; the longest had {most} requests")
    highest, lowest = objective.highest, objective.lowest
    kept = (highest is None or measured.value <= highest) and (lowest is None or measured.value >= lowest)
    return Outcome(objective, PASSED if kept else FAILED, measured, _said(measured, len(found)))


def _said(measured: Estimate, runs: int) -> str:
    where = "in 1 run" if runs == 1 else f"in {runs} runs"
    if measured.low is None or measured.high is None:
        return f"{measured.value:.6g} {where}"
    return f"{measured.value:.6g} ({measured.low:.6g} to {measured.high:.6g}) {where}"


def _unknown(objective: Objective, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(objective.service, known, n=1)
    guess = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}."
    return f"The objective {objective.text} is for {objective.service!r:.80}, which no run measured; {guess}"
