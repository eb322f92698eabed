# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A count says how much of the truth the journal still had."""

from __future__ import annotations

from ansible_collections.llmops.inference.plugins.module_utils._incidents.gaps import gaps, unread_gap
from ansible_collections.llmops.inference.plugins.module_utils._incidents.journal import Entry

SINCE = 1_764_000_000.0


def dropped(number: int, unit: str) -> Entry:
    return Entry(SINCE + 5, f"Suppressed {number} messages from {unit}")


def test_a_journal_that_reaches_back_and_dropped_nothing_has_no_gap() -> None:
    assert gaps(SINCE, SINCE - 1, False, []) == []
    assert gaps(SINCE, SINCE + 59, False, []) == [], "its first line of the window may come a little later"


def test_a_journal_that_was_rotated_makes_counts_a_lower_bound() -> None:
    assert gaps(SINCE, SINCE + 86400, False, []) == [
        "the journal begins at 2025-11-25T16:00:00Z: counts are a lower bound"
    ]


def test_a_volatile_journal_and_a_host_without_a_journal_are_said() -> None:
    assert "a reboot forgets it" in gaps(SINCE, SINCE, True, [])[0]
    assert gaps(SINCE, None, False, []) == ["there is no journal: incidents are not counted"]


def test_lines_that_journald_dropped_are_added_up_by_unit() -> None:
    of_services = [dropped(10, "vllm@mini.service"), dropped(5, "/system.slice/system-vllm.slice/vllm@mini.service")]
    (said,) = gaps(SINCE, SINCE, False, [*of_services, dropped(7, "postgresql@main.service")])
    assert said.startswith("journald dropped 15 lines of vllm@mini.service")


def test_ends_that_were_not_read_are_counted() -> None:
    assert unread_gap(30, 30) == []
    assert "the last 30 of 41 ends" in unread_gap(41, 30)[0]
