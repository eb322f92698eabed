# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a host's services, memory and incidents."""

from __future__ import annotations

from typing import Any

from ansible_collections.llmops.inference.plugins.plugin_utils._status_tables import status_tables

SERVICE = {"name": "mini", "address": "http://127.0.0.1:8002", "device_indices": [0, 1], "state": "serving"}


def test_a_deployment_has_endpoints_and_neither_memory_nor_incidents() -> None:
    found = status_tables({"services": [SERVICE]})
    assert " ".join(found["endpoints"][1].split()) == "mini http://127.0.0.1:8002 0,1 - - - - serving"
    assert " ".join(found["memory"][1].split()) == "mini - / - - / - GiB - - / - GiB - / - GiB"
    assert len(found["incidents"]) == 1, "the heading"


def test_the_latest_incidents_come_after_the_rates_and_the_gaps_of_the_journal() -> None:
    rate = {"service": "mini", "incidents": 3, "days": 7.0, "per_day": 3 / 7, "requests": None}
    incidents: list[dict[str, Any]] = [
        {"time": str(number), "service": "mini", "kind": "killed", "lost_seconds": 4.2, "line": f"line {number}"}
        for number in range(3)
    ]
    result = {
        "services": [],
        "incident_rates": [rate],
        "incident_gaps": ["the journal begins later"],
        "incidents": incidents,
    }
    lines = status_tables(result, latest=2)["incidents"]
    assert " ".join(lines[1].split()) == "mini 3 7.0 0.43 - -"
    assert lines[2] == "the journal begins later"
    assert [" ".join(line.split()) for line in lines[4:]] == ["1 mini killed 4 s line 1", "2 mini killed 4 s line 2"]
