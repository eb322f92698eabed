# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of some runs as data, out of which page, table and JUnit XML are made.

Its published description is docs/schemas/report.schema.json. An infinite bound is null there, as one that is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import SIDES, RunResult, read_result
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._report.agreement import with_agreement
from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import (
    JudgementSettings,
    Row,
    compare,
    read_settings,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import (
    METRICS,
    MeasuredRun,
    Metric,
    estimate,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import (
    PASSED,
    Outcome,
    check_objectives,
    joint_verdict,
    parse_objectives,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.statistics import Estimate

REPORT_SCHEMA_VERSION = 1


def read_results(values: object) -> list[RunResult]:
    """Return runs in the order in which they were made; InferenceError where one is none."""
    if not isinstance(values, (list, tuple)) or not values:
        raise InferenceError(f"Results are {values!r:.80}; a list of at least one run is expected.")
    runs = [read_result(value, f"result {place}") for place, value in enumerate(values, 1)]
    return sorted(runs, key=lambda run: run.started)


def is_report(value: object) -> bool:
    """Tell whether a value is what :func:`report` returned."""
    return isinstance(value, Mapping) and value.get("schema_version") == REPORT_SCHEMA_VERSION and "objectives" in value


def report(values: object, settings: JudgementSettings, objectives: object = ()) -> dict[str, Any]:
    """Return the report of runs of one host.

    Runs that have sides are compared, others summarised. Objectives are held against what is deployed now: against
    the side ``after`` where there are two.
    """
    runs = with_agreement(read_results(values))
    hosts = sorted({run.environment.host for run in runs})
    if len(hosts) > 1:
        raise InferenceError(f"The results are of {', '.join(hosts)}; a report is of one host.")
    sided = any(run.side for run in runs)
    current = [run for run in runs if run.side == SIDES[1]] if sided else runs
    outcomes = check_objectives(current, parse_objectives(objectives))
    together = joint_verdict(outcome.outcome for outcome in outcomes)
    return {
        "schema_version": REPORT_SCHEMA_VERSION,
        "host": hosts[0],
        "passed": together == PASSED,
        "verdict": together,
        "objectives": [_outcome(outcome) for outcome in outcomes],
        "settings": {**asdict(settings), "judged": list(settings.judged), "shown": list(settings.shown)},
        "summary": summary(runs, settings.confidence),
        "comparison": [_row(row) for row in compare(runs, settings)] if sided else None,
        "runs": [run.to_dict() for run in runs],
    }


def judged(runs: object, objectives: object = (), **settings: Any) -> dict[str, Any]:
    """Return the report of these runs; ``settings`` are fields of :class:`JudgementSettings`."""
    return report(runs, read_settings(settings), objectives)


def summary(runs: Sequence[RunResult], level: float) -> list[dict[str, Any]]:
    """Return the typical value of every metric that was measured, by side, service and scenario."""
    groups: dict[tuple[str | None, str, str], list[MeasuredRun]] = {}
    for run in runs:
        for service in run.services:
            groups.setdefault((run.side, service.service, service.scenario), []).append((run, service))
    rows = []
    for (side, service_name, scenario), found in groups.items():
        for one in METRICS.values():
            value = _estimate(estimate(one, found, level))
            if value is not None:
                place = {"side": side, "service": service_name, "scenario": scenario}
                rows.append({**place, **_metric(one), "value": value})
    return rows


def _metric(one: Metric) -> dict[str, Any]:
    return {"metric": one.name, "words": one.words, "unit": one.unit, "better": one.better}


def _row(row: Row) -> dict[str, Any]:
    estimates = {name: _estimate(getattr(row, name)) for name in ("before", "after", "ratio")}
    return {**asdict(row), **estimates}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    objective = outcome.objective
    return {
        "service": objective.service,
        "scenario": objective.scenario,
        "text": objective.text,
        **_metric(objective.metric),
        "max": objective.highest,
        "min": objective.lowest,
        "outcome": outcome.outcome,
        "measured": _estimate(outcome.measured),
        "reason": outcome.reason,
    }


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: _finite(value) for name, value in asdict(found).items()}


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value
