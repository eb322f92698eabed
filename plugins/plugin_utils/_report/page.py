# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as one page that needs nothing but itself. The same report gives the same page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    SIDES,
    RunResult,
    ServiceResult,
    read_result,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._html.render import render
from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import VERDICTS
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import completed, counted
from ansible_collections.llmops.inference.plugins.plugin_utils._report.numbers import (
    bounds_text,
    estimate_text,
    ratio_bounds_text,
    ratio_text,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._report.plots import (
    latency_plot,
    memory_plot,
    sides_of,
    throughput_plot,
    trend_plot,
)
from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"
TREND = ("end_to_end_p50_seconds", "output_tokens_per_second")
FoundRun = Sequence["tuple[RunResult, ServiceResult]"]


def report_page(report: Mapping[str, Any], history: Sequence[RunResult] = ()) -> str:
    """Return the page of a report; ``history`` are runs of the same host from earlier on, oldest first."""
    runs = [read_result(run, f"runs[{place}]") for place, run in enumerate(report["runs"])]
    comparison, settings = report["comparison"], report["settings"]
    heading = "Was it worth it?" if comparison else "How the services do"
    return str(
        render(
            "report.html.j2",
            _TEMPLATES,
            title=f"{heading} {report['host']}",
            heading=heading,
            facts=" · ".join(_facts(runs)),
            warnings=_warnings(runs),
            objectives=[_objective(item) for item in report["objectives"]],
            kept=sum(item["outcome"] == "passed" for item in report["objectives"]),
            verdicts=_verdicts(comparison or ()),
            confidence=f"{settings['confidence']:.0%}",
            groups=_groups(comparison or ()),
            latencies=_latencies(runs, report["summary"]),
            throughput=throughput_plot(runs),
            memory=[plot for plot in _memory(runs) if plot],
            stability=_stability(runs),
            trends=_trends([run for run in (*history, *runs) if run.side != SIDES[0]] if history else []),
            least_rounds=settings["least_rounds"],
            smallest_relevant=f"{settings['smallest_relevant']:.0%}",
        )
    )


def _facts(runs: Sequence[RunResult]) -> list[str]:
    """Of everything that the runs have in common or not, a word each."""
    last = runs[-1].environment
    profiles = dict.fromkeys(
        f"{side}: {run.environment.profile}" if side else run.environment.profile
        for side in sides_of(runs)
        for run in runs
        if run.side == side and run.environment.profile
    )
    versions = dict.fromkeys(run.environment.engine_version for run in runs)
    devices = Counter(last.devices)
    facts = [
        last.host,
        ", ".join(f"{count} × {name}" if count > 1 else name for name, count in devices.items()) or last.accelerator,
        f"vLLM {', '.join(versions)}",
        ", ".join(profiles),
        f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}",
        runs[0].started if len(runs) == 1 else f"{runs[0].started} to {runs[-1].started}",
    ]
    return [fact for fact in facts if fact]


def _warnings(runs: Sequence[RunResult]) -> list[str]:
    held: dict[str, list[str]] = {}
    for run in runs:
        for service in run.services:
            if service.load and service.load.bottleneck:
                held.setdefault(f"{service.service} under {service.scenario}", []).append(service.load.bottleneck)
    return [
        f"{name}: the load generator itself was the bottleneck in {len(found)} runs: {found[0]}"
        for name, found in held.items()
    ]


def _estimate(value: Any, unit: str) -> dict[str, str]:
    return {"value": estimate_text(value, unit), "bounds": bounds_text(value, unit)}


def _objective(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: item[key] for key in ("service", "scenario", "text", "outcome")},
        "estimate": _estimate(item["measured"], item["unit"]),
        "reason": "" if item["measured"] else item["reason"],
    }


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(row["verdict"] for row in rows if row["verdict"])
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups = []
    for key in dict.fromkeys((row["service"], row["scenario"]) for row in rows):
        found = _said_once([row for row in rows if (row["service"], row["scenario"]) == key])
        groups.append({"name": " · ".join(key), "rows": [_compared(row) for row in found]})
    return groups


def _said_once(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows, without a reason that the row above has, too."""
    above = ["", *(row["reason"] for row in rows)]
    return [{**row, "reason": "" if row["reason"] == before else row["reason"]} for row, before in zip(rows, above)]


def _compared(row: Mapping[str, Any]) -> dict[str, Any]:
    sides = [_estimate(row[side], row["unit"]) for side in ("before", "after")]
    ratio = {"value": ratio_text(row["ratio"]), "bounds": ratio_bounds_text(row["ratio"])}
    return {**{key: row[key] for key in ("words", "verdict", "reason")}, "estimates": [*sides, ratio]}


def _latencies(runs: Sequence[RunResult], summary: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{name} · {scenario}",
            "asked": _asked(found),
            "plot": latency_plot(f"{name} {scenario}", found),
            **_numbers([row for row in summary if (row["service"], row["scenario"]) == (name, scenario)]),
        }
        for (name, scenario), found in _by_service(runs).items()
    ]


def _asked(found: FoundRun) -> str:
    loads = dict.fromkeys(
        f"{service.load.driver}, {service.load.mode} loop, "
        + (f"{service.load.concurrency} in flight" if service.load.concurrency else "any number in flight")
        + (f", {service.load.requests_per_second:g} requests/s" if service.load.requests_per_second else "")
        for _run, service in found
        if service.load
    )
    requests = sum(len(completed(service)) for _run, service in found)
    counted = f"{len(found)} {'run' if len(found) == 1 else 'runs'}"
    return f"{'; '.join(loads) or 'no load'}. {requests:,} requests answered in {counted}."


def _numbers(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return everything that was measured, for those who want numbers rather than lines."""
    sides = [side for side in (None, *SIDES) if any(row["side"] == side for row in rows)]
    lines = []
    for name in dict.fromkeys(row["metric"] for row in rows):
        by_side = {row["side"]: row for row in rows if row["metric"] == name}
        one = next(iter(by_side.values()))
        cells = [by_side[side]["value"] if side in by_side else None for side in sides]
        lines.append({"words": one["words"], "estimates": [_estimate(cell, one["unit"]) for cell in cells]})
    return {"sides": [side or "typical run" for side in sides], "lines": lines}


def _memory(runs: Sequence[RunResult]) -> list[Markup | None]:
    return [memory_plot(device, runs) for device in dict.fromkeys(item.device for run in runs for item in run.memory)]


def _stability(runs: Sequence[RunResult]) -> dict[str, Any]:
    sides = sides_of(runs)
    lines: dict[str, list[int]] = {}
    for place, side in enumerate(sides):
        here = [run for run in runs if run.side == side]
        counts = Counter(f"incident: {incident.kind.replace('_', ' ')}" for run in here for incident in run.incidents)
        services = [service for run in here for service in run.services]
        counts["requests"] = sum(len(counted(service)) for service in services)
        for status in ("failed", "aborted"):
            counts[status] = sum(one.status == status for service in services for one in service.requests)
        counts["restarts"] = sum(service.restarts for service in services)
        counts["preemptions"] = sum(service.engine.preemptions or 0 for service in services)
        for name, count in counts.items():
            lines.setdefault(name, [0] * len(sides))[place] = count
    order = sorted(lines, key=lambda name: (name != "requests", not name.startswith("incident"), name))
    rows = [{"name": name, "counts": [f"{count:,}" for count in lines[name]]} for name in order]
    return {"sides": [side or "all runs" for side in sides], "rows": rows}


def _trends(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    drawn = [
        {"name": f"{name} · {scenario}", "plot": trend_plot(f"{name} {scenario}", found, TREND)}
        for (name, scenario), found in _by_service(runs).items()
    ]
    return [card for card in drawn if card["plot"]]


def _by_service(runs: Sequence[RunResult]) -> dict[tuple[str, str], list[tuple[RunResult, ServiceResult]]]:
    found: dict[tuple[str, str], list[tuple[RunResult, ServiceResult]]] = {}
    for run in runs:
        for service in run.services:
            found.setdefault((service.service, service.scenario), []).append((run, service))
    return found
