# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in words which incidents a journal cannot report, so that no count passes for more than it is. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from .journal import Entry

# A first line so shortly after the window's begin hides nothing.
_SECONDS = 60.0
_SUPPRESSED = re.compile(r"Suppressed (\d+) messages from (?:\S*/)?(vllm\S*@[a-z0-9_.-]+\.service)")


def gaps(since: float, begins: float | None, is_volatile: bool, suppressed: Sequence[Entry]) -> list[str]:
    """Return a sentence for each gap between the Unix time ``since`` and now.

    ``begins`` is the time of the journal's first line, ``suppressed`` are journald's words on lines that it dropped.
    """
    found = []
    if begins is None:
        found.append("there is no journal: incidents are not counted")
    elif begins > since + _SECONDS:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begins))
        found.append(f"the journal begins at {moment}: counts are a lower bound")
    if is_volatile:
        found.append("the journal is kept in memory: a reboot forgets it; create /var/log/journal to keep it")
    dropped: dict[str, int] = {}
    for entry in suppressed:
        match = _SUPPRESSED.search(entry.text)
        if match:
            dropped[match[2]] = dropped.get(match[2], 0) + int(match[1])
    found += [
        f"journald dropped {number} lines of {unit}: causes may be missing; raise LogRateLimitBurst= of the unit"
        for unit, number in sorted(dropped.items())
    ]
    return found


def unread_gap(ends: int, read: int) -> list[str]:
    """Return a sentence about the ends whose cause was looked for in systemd's words alone."""
    if ends <= read:
        return []
    return [
        f"what the engines wrote was read for the last {read} of {ends} ends: earlier causes are systemd's word alone"
    ]
