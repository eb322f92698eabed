# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of benchmarks says what was measured, and the benchmarks judge it as they should."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.llmops.inference.tests.bench import fleet, no_change, serving
from ansible_collections.llmops.inference.tests.bench.page import PAGE, PARTS, current, figures


def test_the_page_has_the_figures_that_were_kept() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert current(text) == text, "run tests/bench/page.py"


def test_every_part_has_its_place() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(text.count(f"<!-- generated: {name} -->") == 1 for name in PARTS)


def cost(wall: float, cpu: float = 1.0) -> dict[str, float]:
    return {"wall": wall, "cpu": cpu, "peak": 1}


def quiet(services: int, **changes: Any) -> dict[str, Any]:
    """A run that changes nothing and costs what it may."""
    result = {"services": services, "tasks": 12, "ping": cost(1), "site": cost(3), "plain": cost(16 + services)}
    return {**result, **changes}


def test_a_run_that_costs_what_it_may_is_praised() -> None:
    assert no_change.complaints([quiet(3), quiet(12)]) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tasks": 13}, "13 tasks with 3 services; 12 at most"),
        ({"site": cost(5.1), "plain": cost(40)}, "4 pings and 1 s at most"),
        ({"plain": cost(14)}, "4.7 times as fast as plain tasks; 5 at least"),
        ({"plain": cost(90)}, "the gain falls from 30.0 to 9.3"),
        ({"site": cost(3, 0.5)}, "CPU grows 2.00 times"),
    ],
)
def test_whatever_costs_too_much_is_named(changes: dict[str, Any], complaint: str) -> None:
    (found,) = no_change.complaints([quiet(3, **changes), quiet(12)])
    assert complaint in found


def test_a_play_may_add_five_per_cent_and_ten_seconds() -> None:
    assert serving.complaints({"by_hand": [100.0], "plays": [115.0]}) == []
    assert serving.complaints({"by_hand": [100.0], "plays": [115.1]})


def test_a_fleet_is_judged_by_what_a_host_costs_among_many_and_by_one_that_does_not_answer() -> None:
    few, many = {"hosts": 100, "cpu": 10.0, "wall": 50.0}, {"hosts": 200, "cpu": 24.0, "wall": 100.0}
    assert fleet.complaints([few, many], {**few, "wall": 57.0}) == []
    costs, held = fleet.complaints([few, {**many, "cpu": 26.0}], {**few, "wall": 60.0})
    assert "1.30 times the CPU among 200" in costs
    assert "1.20 times as long" in held


def test_figures_say_how_to_measure_them_again() -> None:
    for name in ("no-change", "serving", "fleet", "plans"):
        found = figures(name)
        assert found is None or found["command"].startswith("make bench-")
