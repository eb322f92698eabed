# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service is watched, as its layout states it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Watchdog:
    """How a service is watched: seconds between looks, for a token, and of standing still; misses in a row."""

    enabled: bool = True
    interval: int = 30
    deadline: int = 30
    misses: int = 3
    stall: int = 600
