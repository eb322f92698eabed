# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as one page that needs nothing but itself. The same report gives the same page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import (
    SIDES,
    RunResult,
    ServiceResult,
    read_result,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._html.document import document
from ansible_collections.llmops.inference.plugins.plugin_utils._html.svg import element, svg_text
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

TREND = ("end_to_end_p50_seconds", "output_tokens_per_second")
FoundRun = Sequence["tuple[RunResult, ServiceResult]"]


def report_page(report: Mapping[str, Any], history: Sequence[RunResult] = ()) -> str:
    """Return the page of a report; ``history`` are runs of the same host from earlier on, oldest first."""
    runs = [read_result(run, f"runs[{place}]") for place, run in enumerate(report["runs"])]
    comparison = report["comparison"]
    title = "Was it worth it?" if comparison else "How the services do"
    return document(
        f"{title} {report['host']}",
        element("h1", svg_text(title)),
        element("div", svg_text(" · ".join(_facts(runs))), class_="quiet"),
        *_warnings(runs),
        _objectives(report["objectives"]),
        _comparison(comparison, report["settings"]) if comparison else "",
        _latencies(runs, report["summary"]),
        _card("Tokens per second against concurrency", throughput_plot(runs), _THROUGHPUT),
        *_memory(runs),
        _stability(runs),
        *_trends([run for run in (*history, *runs) if run.side != SIDES[0]] if history else []),
        _how_to_read(report["settings"], bool(comparison)),
        style=REPORT_STYLE,
    )


_THROUGHPUT = (
    "One point per run. What is in flight is measured, not what was asked for: where it stays below, the service or "
    "the load generator was the limit."
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
        _warning(f"{name}: the load generator itself was the bottleneck in {len(found)} runs: {found[0]}")
        for name, found in held.items()
    ]


def _warning(said: str) -> str:
    return element("div", element("p", svg_text(said)), class_="card warn")


def _badge(word: str) -> str:
    return element("span", svg_text(word), class_=f"verdict {word.replace(' ', '-')}")


def _objectives(objectives: Sequence[Mapping[str, Any]]) -> str:
    if not objectives:
        return ""
    head = _head("service", "scenario", "objective", "measured", "")
    rows = [
        element(
            "tr",
            *(element("td", svg_text(item[key])) for key in ("service", "scenario", "text")),
            _cell(estimate_text(item["measured"], item["unit"]), bounds_text(item["measured"], item["unit"])),
            element(
                "td",
                _badge(item["outcome"]),
                "" if item["measured"] else element("span", svg_text(item["reason"]), class_="source said"),
            ),
        )
        for item in objectives
    ]
    kept = sum(item["outcome"] == "passed" for item in objectives)
    return _section("Objectives", _table(head, element("tbody", *rows)), f"{kept} of {len(objectives)} are kept.")


def _comparison(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    counts = Counter(row["verdict"] for row in rows if row["verdict"])
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    groups = []
    for key in dict.fromkeys((row["service"], row["scenario"]) for row in rows):
        found = _said_once([row for row in rows if (row["service"], row["scenario"]) == key])
        head = element("tr", element("th", svg_text(" · ".join(key)), class_="head", colspan=5, scope="rowgroup"))
        groups.append(element("tbody", head, *map(_comparison_row, found), class_="group"))
    table = _table(_head("", "before", "after", "after / before", "verdict"), *groups)
    sure = f"All intervals of rows with a verdict hold together with {settings['confidence']:.0%} confidence."
    return _section("Before and after", table, f"{said}. {sure}")


def _said_once(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows, without a reason that the row above has, too."""
    above = ["", *(row["reason"] for row in rows)]
    return [{**row, "reason": "" if row["reason"] == before else row["reason"]} for row, before in zip(rows, above)]


def _comparison_row(row: Mapping[str, Any]) -> str:
    cells = [
        _cell(estimate_text(row[side], row["unit"]), bounds_text(row[side], row["unit"]))
        for side in ("before", "after")
    ]
    verdict = _badge(row["verdict"]) if row["verdict"] else ""
    reason = element("span", svg_text(row["reason"]), class_="source said") if row["reason"] else ""
    return element(
        "tr",
        element("th", svg_text(row["words"]), scope="row"),
        *cells,
        _cell(ratio_text(row["ratio"]), ratio_bounds_text(row["ratio"])),
        element("td", verdict, reason, class_="why"),
        class_="judged" if row["verdict"] else "minor",
        data_verdict=row["verdict"] or "",
    )


def _latencies(runs: Sequence[RunResult], summary: Sequence[Mapping[str, Any]]) -> str:
    cards = []
    for (name, scenario), found in _by_service(runs).items():
        rows = [row for row in summary if (row["service"], row["scenario"]) == (name, scenario)]
        drawn = latency_plot(f"{name} {scenario}", found)
        cards.append(_card(f"{name} · {scenario}", drawn, _asked(found), _numbers(rows)))
    return element("section", element("h2", "Latency and rates"), *cards)


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


def _numbers(rows: Sequence[Mapping[str, Any]]) -> str:
    """Everything that was measured, for those who want numbers rather than lines."""
    if not rows:
        return ""
    sides = [side for side in (None, *SIDES) if any(row["side"] == side for row in rows)]
    lines = []
    for name in dict.fromkeys(row["metric"] for row in rows):
        by_side = {row["side"]: row for row in rows if row["metric"] == name}
        one = next(iter(by_side.values()))
        cells = [by_side[side]["value"] if side in by_side else None for side in sides]
        drawn = [_cell(estimate_text(cell, one["unit"]), bounds_text(cell, one["unit"])) for cell in cells]
        lines.append(element("tr", element("th", svg_text(one["words"]), scope="row"), *drawn))
    head = _head("", *(side or "typical run" for side in sides))
    return element("details", element("summary", "Numbers"), _table(head, element("tbody", *lines)))


def _memory(runs: Sequence[RunResult]) -> list[str]:
    devices = dict.fromkeys(item.device for run in runs for item in run.memory)
    return [
        _card("Memory over time" if place == 0 else "", memory_plot(device, runs), "")
        for place, device in enumerate(devices)
    ]


def _stability(runs: Sequence[RunResult]) -> str:
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
    rows = [
        element("tr", element("th", svg_text(name), scope="row"), *(element("td", f"{n:,}") for n in lines[name]))
        for name in order
    ]
    table = _table(_head("", *(side or "all runs" for side in sides)), element("tbody", *rows))
    return _section("Stability", table, "Counted over all runs.")


def _trends(runs: Sequence[RunResult]) -> list[str]:
    cards = []
    for (name, scenario), found in _by_service(runs).items():
        drawn = trend_plot(f"{name} {scenario}", found, TREND)
        if drawn:
            cards.append(_card(f"{name} · {scenario}", drawn, "A dotted line is a new generation."))
    return [element("section", element("h2", "On this host so far"), *cards)] if cards else []


def _how_to_read(settings: Mapping[str, Any], compared: bool) -> str:
    lines = [
        "Every run gives one number per metric; intervals come from how the runs differ, never from single requests.",
        f"A grey interval holds the true value with {settings['confidence']:.0%} confidence. One run has none.",
        "A percentile is shown where at least one request lies beyond it: p99 takes 100 requests.",
    ]
    if compared:
        lines.append(
            f"Better and worse need {settings['least_rounds']} pairs of runs and an interval that lies wholly beyond "
            f"{settings['smallest_relevant']:.0%}. That no difference was shown is not to say that there is none."
        )
    return _section("How to read this", element("ul", *(element("li", svg_text(line)) for line in lines)), "")


def _by_service(runs: Sequence[RunResult]) -> dict[tuple[str, str], list[tuple[RunResult, ServiceResult]]]:
    found: dict[tuple[str, str], list[tuple[RunResult, ServiceResult]]] = {}
    for run in runs:
        for service in run.services:
            found.setdefault((service.service, service.scenario), []).append((run, service))
    return found


def _card(title: str, drawn: str | None, said: str, *more: str) -> str:
    if not drawn and not any(more):
        return ""
    return element(
        "div",
        element("h3", svg_text(title)) if title else "",
        element("div", svg_text(said), class_="quiet") if said else "",
        drawn or "",
        *more,
        class_="card",
    )


def _section(title: str, content: str, said: str) -> str:
    quiet = element("div", svg_text(said), class_="quiet") if said else ""
    return element("section", element("h2", svg_text(title)), quiet, element("div", content, class_="card"))


def _table(head: str, *bodies: str) -> str:
    return element("div", element("table", element("thead", head), *bodies), class_="table")


def _head(*names: str) -> str:
    return element("tr", *(element("th", svg_text(name), scope="col") for name in names))


def _cell(value: str, bounds: str) -> str:
    return element("td", svg_text(value), element("span", svg_text(bounds), class_="source") if bounds else "")


REPORT_STYLE = """
:root {
  --series-1: #3d5afe; --series-2: #b45309; --series-3: #0f766e; --series-4: #9333ea; --series-5: #be185d;
  --series-6: #475569;
}
@media (prefers-color-scheme: dark) {
  :root {
    --series-1: #8aa0ff; --series-2: #f5b13d; --series-3: #2dd4bf; --series-4: #c99bff; --series-5: #f58ac2;
    --series-6: #a3b1c6;
  }
}
section { margin-top: 36px; }
section > h2 { margin-bottom: 4px; }
.better, .passed { color: var(--good); background: var(--good-ground); }
.worse, .failed { color: var(--bad); background: var(--bad-ground); }
.could-not-start, .not-measured { color: var(--warn); background: var(--warn-ground); }
.no-difference-shown { color: var(--quiet); background: var(--slack); }
.plot { overflow: visible; margin-top: 12px; }
tbody.group th.head { color: var(--ink); font-weight: 600; padding-top: 16px; }
tr.minor td, tr.minor th { color: var(--quiet); }
td .source { display: block; }
td .said { white-space: normal; min-width: 240px; }
td.why { font-size: 12.5px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--quiet); }
@media print { body { padding: 0; } .card { break-inside: avoid; } details > * { display: block; } }
"""
