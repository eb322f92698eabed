# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about the memory budget says what the planner says."""

from __future__ import annotations

from ansible_collections.llmops.inference.tests.tools.generate_budget_table import PAGE, SECTIONS, current


def test_the_page_has_the_planners_numbers_of_today() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert current(text) == text, "run tests/tools/generate_budget_table.py"


def test_every_generated_part_has_its_place() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(text.count(f"<!-- generated: {name} -->") == 1 for name in SECTIONS)
    assert text.count("<!-- end -->") == len(SECTIONS)


def test_a_number_that_was_edited_by_hand_is_noticed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert current(text.replace("| 24 GB", "| 25 GB")) == text
