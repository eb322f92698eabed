# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report in the lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import JUDGED, QUALITY
from ansible_collections.llmops.inference.plugins.plugin_utils._report.numbers import (
    bounds_text,
    estimate_text,
    ratio_bounds_text,
    ratio_text,
)
from ansible_collections.llmops.inference.plugins.plugin_utils._table import Column, table

_PLACE: tuple[Column, ...] = (("SERVICE", "service", "{}"), ("SCENARIO", "scenario", "{}"))
_OBJECTIVES = (*_PLACE, ("OBJECTIVE", "text", "{}"), ("MEASURED", "measured", "{}"), ("", "outcome", "{}"))
_COMPARISON = (
    *_PLACE,
    ("METRIC", "words", "{}"),
    ("BEFORE", "before", "{}"),
    ("AFTER", "after", "{}"),
    ("RATIO", "ratio", "{}"),
    ("INTERVAL", "interval", "{}"),
    ("VERDICT", "verdict", "{}"),
)
_SUMMARY = (*_PLACE, ("METRIC", "words", "{}"), ("VALUE", "value", "{}"), ("INTERVAL", "interval", "{}"))
_SUMMARISED = ("ttft_p50_seconds", "ttft_p95_seconds", *JUDGED, "failed_share", "incidents_per_1000_requests")


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the lines: objectives, and the comparison or a summary; reasons of verdicts below."""
    lines = []
    if report["objectives"]:
        rows = [{**item, "measured": estimate_text(item["measured"], item["unit"])} for item in report["objectives"]]
        lines += [*table(_OBJECTIVES, rows), ""]
    if report["comparison"] is None:
        rows = [_measured(row) for row in report["summary"] if row["metric"] in _SUMMARISED]
        return lines + table(_SUMMARY, rows)
    judged = [row for row in report["comparison"] if row["verdict"]]
    lines += table(_COMPARISON, [_compared(row) for row in report["comparison"] if _is_shown(row)])
    said: dict[tuple[str, str, str, str], list[str]] = {}
    for row in judged:
        said.setdefault((row["service"], row["scenario"], row["verdict"], row["reason"]), []).append(row["words"])
    reasons = [
        f"{service} {scenario}, {', '.join(words)}: {verdict}; {reason}."
        for (service, scenario, verdict, reason), words in said.items()
    ]
    return [*lines, "", *reasons]


def _is_shown(row: Mapping[str, Any]) -> bool:
    """Rows with a verdict, and how good the answers are: a faster one may be a worse one."""
    return bool(row["verdict"]) or row["metric"] in QUALITY


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    unit = row["unit"]
    return {**row, "value": estimate_text(row["value"], unit), "interval": bounds_text(row["value"], unit) or None}


def _compared(row: Mapping[str, Any]) -> dict[str, Any]:
    sides = {side: estimate_text(row[side], row["unit"]) for side in ("before", "after")}
    return {**row, **sides, "ratio": ratio_text(row["ratio"]), "interval": ratio_bounds_text(row["ratio"]) or None}
