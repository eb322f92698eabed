# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in objectives and loads that are known before any load, so that no load is driven for nothing."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.scenarios import (
    OVERRIDES,
    SCENARIOS,
    Scenario,
    scenario,
)
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._values import as_integer, as_number
from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import read_settings
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import latency_percentile
from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import Objective, read_objectives
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import values_needed

PERPLEXITIES = ("perplexity_short", "perplexity_long")
AGREEMENT = "greedy_agreement"
_FRACTIONS = ("context_share", "requests_per_second")


def objective_problems(
    stated: object,
    *,
    services: Sequence[str],
    scenarios: object = ("standard",),
    loads: object = None,
    quality: bool = False,
    sided: bool = False,
    judgement: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return a sentence for each mistake; empty where every objective can be judged after such a measurement.

    ``services`` are the names of those that will be measured, ``scenarios`` and ``loads`` what is asked of them,
    ``quality`` and ``sided`` whether answers are measured, and two layouts are compared. ``judgement`` are the settings
    of a comparison.
    """
    problems: list[str] = []
    made = _scenarios(scenarios, loads or {}, problems)
    try:
        read_settings(judgement or {})
    except InferenceError as error:
        problems.append(str(error))
    objectives, mistakes = read_objectives(stated if stated is not None else [])
    problems += mistakes
    for objective in objectives:
        problems += _of_objective(objective, services, made)
        problems += _of_quality(objective, quality, sided)
    return problems


def _scenarios(names: object, loads: object, problems: list[str]) -> dict[str, Scenario | None]:
    """Return the load of each scenario; None where it cannot be, which is among the problems then."""
    chosen = list(names) if isinstance(names, (list, tuple)) else []
    if not chosen:
        problems.append(f"Scenarios are {names!r:.80}; a list of at least one is expected.")
    if not isinstance(loads, Mapping):
        problems.append(f"Loads are {loads!r:.80}; a mapping by scenario is expected.")
    stated: Mapping[Any, Any] = loads if isinstance(loads, Mapping) else {}
    for name in (*chosen, *stated):
        if name not in SCENARIOS:
            near = difflib.get_close_matches(str(name), SCENARIOS, n=1) or sorted(SCENARIOS)
            problems.append(f"There is no scenario {str(name)!r:.80}; did you mean {', '.join(near)}?")
    made: dict[str, Scenario | None] = {}
    for name in (name for name in chosen if name in SCENARIOS):
        try:
            made[name] = scenario(name, _overrides(name, stated.get(name)))
        except InferenceError as error:
            problems.append(f"The load of {name}: {error}")
            made[name] = None
    return made


def _overrides(name: str, load: object) -> dict[str, Any]:
    """Return what a load states, numbers that a template made text as numbers; InferenceError for a wrong one."""
    if load is None:
        return {}
    if not isinstance(load, Mapping):
        raise InferenceError(f"it is {load!r:.80}; a mapping such as {{requests: 200}} is expected.")
    read = {}
    for key, value in load.items():
        if key not in OVERRIDES:
            near = difflib.get_close_matches(str(key), OVERRIDES, n=1) or sorted(OVERRIDES)
            raise InferenceError(f"it has the unknown key {str(key)!r:.80}; did you mean {', '.join(near)}?")
        if key == "together" or value is None:
            read[key] = value
            continue
        read[key] = as_number(value) if key in _FRACTIONS else as_integer(value)
        if read[key] is None:
            kind = "a number" if key in _FRACTIONS else "a whole number"
            raise InferenceError(f"{key} is {value!r:.80}; {kind} is expected.")
    return read


def _of_objective(objective: Objective, services: Sequence[str], made: Mapping[str, Scenario | None]) -> Iterator[str]:
    what = f"The objective {objective.text} is for"
    if objective.service not in services:
        near = difflib.get_close_matches(objective.service, services, n=1)
        guess = f"did you mean {near[0]}?" if near else f"there are {', '.join(services) or 'none'}."
        yield f"{what} {objective.service!r:.80}, which is no service here; {guess}"
    if objective.scenario not in made:
        yield (
            f"{what} the scenario {objective.scenario}, and only {', '.join(made) or 'none'} will be measured: "
            "add it to the scenarios, or change the objective."
        )
    asked, latency = made.get(objective.scenario), latency_percentile(objective.metric.name)
    if asked is None or latency is None:
        return
    kind, percent = latency
    needed = values_needed(percent)
    if asked.requests < needed:
        lowest = math.ceil(needed)
        yield (
            f"{what} p{percent:g}, which takes {lowest} requests in one run, and {objective.scenario} asks "
            f"{asked.requests}: state at least requests: {lowest} in its load, or a lower percentile."
        )
    if kind == "inter_token" and asked.output_tokens < 2:
        yield f"{what} the time between tokens, and {objective.scenario} asks for answers of one: raise output_tokens."


def _of_quality(objective: Objective, quality: bool, sided: bool) -> Iterator[str]:
    name = objective.metric.name
    if name in (*PERPLEXITIES, AGREEMENT) and not quality:
        yield f"The objective {objective.text} is about the answers, which are not measured: set quality to true."
    elif name == AGREEMENT and not sided:
        yield f"The objective {objective.text} compares two layouts, and one is measured: use the playbook compare."
