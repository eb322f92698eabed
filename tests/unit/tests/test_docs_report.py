# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about reports names the metrics and verdicts that there are, and has its pictures."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.llmops.inference.plugins.plugin_utils._report.comparison import VERDICTS, JudgementSettings
from ansible_collections.llmops.inference.plugins.plugin_utils._report.measures import LATENCIES, METRICS, metric
from ansible_collections.llmops.inference.plugins.plugin_utils._report.objectives import parse_objectives
from yaml import safe_load

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reading-the-report.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_names_every_metric_and_every_verdict() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)`", TEXT))
    fixed = {name for name in METRICS if not re.match(f"({'|'.join(LATENCIES)})_p", name)}
    assert fixed | set(LATENCIES) <= named
    for name in named:
        if name.endswith("_seconds"):
            metric(name)
    assert all(verdict in TEXT for verdict in VERDICTS)


def test_the_objectives_on_the_page_are_valid() -> None:
    example = re.search(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert example is not None
    assert len(parse_objectives(safe_load(example[1]))) == 4


def test_the_defaults_on_the_page_are_the_defaults() -> None:
    assert JudgementSettings() == JudgementSettings(confidence=0.95, smallest_relevant=0.02, least_rounds=5)
    assert "(2 %, `smallest_relevant`)" in TEXT
    assert "fewer than five pairs (`least_rounds`)" in TEXT


def test_every_picture_and_every_file_that_the_page_leads_to_is_there() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(linked) >= 6
    assert all((PAGE.parent / name).is_file() for name in linked)
