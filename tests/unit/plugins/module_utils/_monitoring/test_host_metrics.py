# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Incidents as counters, and a host's metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._generation.active import InForce
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import UnitState
from ansible_collections.llmops.inference.plugins.module_utils._incidents.counts import (
    SETTLED_SECONDS,
    IncidentCounts,
    read_counts,
)
from ansible_collections.llmops.inference.plugins.module_utils._incidents.episodes import Episode, Life
from ansible_collections.llmops.inference.plugins.module_utils._monitoring import host_metrics
from ansible_collections.llmops.inference.plugins.module_utils._monitoring.exposition import MetricFamily, exposition
from ansible_collections.llmops.inference.plugins.module_utils._service.ticket import Ticket

CRASH = Episode(100.0, "engine_dead", "it died", "", service="mini")
HANG = Episode(200.0, "wedged", "it hangs", "", service="mini")
XID = Episode(300.0, "xid", "NVRM: Xid", "")


def ended(at: float, restarted: bool = True) -> Life:
    return Life("mini", f"life-{at}", at - 50, at - 40, at, restarted=restarted)


# ---- counters


def test_each_incident_is_counted_once_however_often_it_is_read() -> None:
    counts = IncidentCounts(50.0).counted([ended(100)], [CRASH], until=150)
    for until in (160, 250, 260):
        counts = counts.counted([ended(100), ended(200)], [CRASH, HANG], until)
    assert counts.incidents == {"mini": {"engine_dead": 1, "wedged": 1}}
    assert counts.restarts == {"mini": 2}


def test_what_is_too_fresh_to_be_explained_waits_for_the_next_look() -> None:
    counts = IncidentCounts(50.0).counted([ended(100)], [CRASH], until=90)
    assert (counts.incidents, counts.restarts) == ({}, {})
    assert counts.counted([ended(100)], [CRASH], until=120).incidents == {"mini": {"engine_dead": 1}}


def test_a_counter_stands_when_the_journal_has_forgotten() -> None:
    counts = IncidentCounts(50.0).counted([ended(100)], [CRASH, XID], until=400).counted([], [], until=9000)
    assert counts.incidents == {"mini": {"engine_dead": 1}, "": {"xid": 1}}
    assert counts.restarts == {"mini": 1}


def test_an_end_that_systemd_gave_up_is_no_restart() -> None:
    counts = IncidentCounts(50.0).counted([ended(100, restarted=False)], [CRASH], until=150)
    assert (counts.incidents, counts.restarts) == ({"mini": {"engine_dead": 1}}, {})


def test_counts_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "incidents.json"
    counts = IncidentCounts(50.0).counted([ended(100)], [CRASH, XID], until=400)
    path.write_text(counts.to_json())
    assert read_counts(path, now=1000.0) == counts


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"until": "x"}', '{"until": 1, "incidents": [], "restarts": {}}']
)
def test_counting_begins_now_where_nothing_readable_was_kept(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "incidents.json"
    if text is not None:
        path.write_text(text)
    assert read_counts(path, now=1000.0) == IncidentCounts(1000.0 - SETTLED_SECONDS)


def test_a_clock_that_was_set_back_does_not_stop_the_counting(tmp_path: Path) -> None:
    path = tmp_path / "incidents.json"
    path.write_text(IncidentCounts(5000.0).to_json())
    assert read_counts(path, now=1000.0).until == 1000.0


# ---- text


def test_the_text_is_prometheus_own_format() -> None:
    rows = [({"service": 'a "quoted"\\ name\n'}, 1.0), ({}, 0.25)]
    text = exposition(
        [MetricFamily("llmops_x_total", "counter", "What it is.", rows), MetricFamily("empty", "gauge", "None.", [])]
    )
    assert text == (
        "# HELP llmops_x_total What it is.\n"
        "# TYPE llmops_x_total counter\n"
        'llmops_x_total{service="a \\"quoted\\"\\\\ name\\n"} 1.0\n'
        "llmops_x_total 0.25\n"
    )


def shown(in_force: InForce, counts: IncidentCounts, active: str = "active") -> list[str]:
    states = {name: UnitState(active, "", "", 0, 0, False) for name in in_force.tickets}
    return exposition(host_metrics.families(in_force, states, counts, {"mini": 4096}, now=5.0)).splitlines()


def in_force(*services: str) -> InForce:
    return InForce(7, None, {name: Ticket(name, f"Qwen/{name}", "127.0.0.1", 8002, {}, 60, 0, "") for name in services})


def test_what_has_not_happened_yet_is_zero() -> None:
    lines = shown(in_force("mini"), IncidentCounts(0.0))
    assert 'llmops_incidents_total{service="mini",kind="engine_dead"} 0.0' in lines
    assert 'llmops_incidents_total{service="",kind="xid"} 0.0' in lines
    assert 'llmops_service_restarts_total{service="mini"} 0.0' in lines
    assert 'llmops_service_resident_bytes{service="mini"} 4096.0' in lines
    assert "llmops_generation 7.0" in lines


def test_what_is_counted_is_shown_also_of_a_service_that_has_gone() -> None:
    counts = IncidentCounts(0.0, {"old": {"killed": 2}, "": {"xid": 1}}, {"mini": 3})
    lines = shown(in_force("mini"), counts)
    assert 'llmops_incidents_total{service="old",kind="killed"} 2.0' in lines
    assert 'llmops_incidents_total{service="",kind="xid"} 1.0' in lines
    assert 'llmops_service_restarts_total{service="mini"} 3.0' in lines


def test_a_unit_is_in_one_state() -> None:
    lines = [line for line in shown(in_force("mini"), IncidentCounts(0.0), "failed") if "llmops_service_state{" in line]
    assert [line for line in lines if line.endswith(" 1.0")] == [
        'llmops_service_state{service="mini",state="failed"} 1.0'
    ]
    assert len(lines) == 6


def test_a_host_on_which_nothing_is_deployed_has_no_services() -> None:
    lines = shown(InForce(), IncidentCounts(0.0))
    assert "llmops_look_timestamp_seconds 5.0" in lines
    assert not [line for line in lines if "service_" in line or line.startswith("llmops_generation")]


# ---- what a look reads


class _Journal:
    """A journal that counts how often it is asked for the whole story."""

    def __init__(self, news: bool) -> None:
        self._news = news

    def lives(self, services: Sequence[str], since: float) -> list[str]:
        return ["something"] if self._news else []

    def kernel(self, since: float) -> list[str]:
        return []


@pytest.mark.parametrize("news", [True, False])
def test_the_whole_window_is_read_only_when_something_was_written(monkeypatch: pytest.MonkeyPatch, news: bool) -> None:
    asked: list[float] = []

    def read(journal: _Journal, services: object, gpus: object, since: float) -> tuple[list[Life], list[Episode]]:
        asked.append(since)
        return [ended(100)], [CRASH]

    monkeypatch.setattr(host_metrics, "read_episodes", read)
    journal: Any = _Journal(news)
    counts = host_metrics.count_incidents(journal, in_force("mini"), IncidentCounts(50.0), now=150.0 + SETTLED_SECONDS)
    assert counts.until == 150.0
    assert counts.incidents == ({"mini": {"engine_dead": 1}} if news else {})
    assert len(asked) == news


INFORMATION = """Model: \t\t NVIDIA H100 80GB HBM3
IRQ:   \t\t 18
GPU UUID: \t GPU-a1f3c0de-0000-4000-8000-000000000002
Bus Type: \t PCIe
Bus Location: \t 0000:3B:00.0
Device Minor: \t 2
"""


def test_the_driver_tells_where_a_gpu_is_without_being_woken(tmp_path: Path) -> None:
    assert host_metrics.gpu_addresses(str(tmp_path / "absent")) == {}
    (tmp_path / "0000:3b:00.0").mkdir()
    (tmp_path / "0000:3b:00.0" / "information").write_text(INFORMATION)
    assert host_metrics.gpu_addresses(str(tmp_path)) == {"GPU-a1f3c0de-0000-4000-8000-000000000002": "0000:3b:00"}
