# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Grafana dashboard against Grafana's own schema; its queries are run in the scenario monitoring."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.tools import build_dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    return dict(json.loads(build_dashboard.PATH.read_text(encoding="utf-8")))


def test_the_file_is_what_its_source_makes() -> None:
    assert build_dashboard.PATH.read_text(encoding="utf-8") == build_dashboard.build(), (
        "run python tests/tools/build_dashboard.py"
    )


def test_its_source_keeps_to_grafanas_types() -> None:
    # They are written for a newer Python than a host's, which is what the types of everything else are checked for.
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-version=3.11",
        "--follow-imports=silent",
        "--config-file=",
    ]
    ran = subprocess.run([*command, build_dashboard.__file__], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_grafanas_types_read_it_and_lose_nothing(dashboard: dict[str, Any]) -> None:
    register_default_plugins()
    read = Dashboard.from_json(dashboard)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == dashboard
    # What they do not know is lost, so that the comparison would find it.
    strange = Dashboard.from_json({**dashboard, "no_such_key": 1})
    assert json.loads(json.dumps(strange, cls=JSONEncoder)) == dashboard


def test_panels_lie_side_by_side(dashboard: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for cell in (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ):
            assert taken.setdefault(cell, panel["title"]) == panel["title"], f"{panel['title']} lies on {taken[cell]}"
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
