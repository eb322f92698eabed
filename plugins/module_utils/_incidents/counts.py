# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Incidents and restarts as counters that never go back, whatever the journal forgets.

The journal tells what happened; a counter has to go on when its lines are gone. So everything until a moment has been
counted, and each look counts what came after it. That moment stays a little behind the present, because lines that
explain an end may be written after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .episodes import Episode, Life

# systemd reports a restart when its pause is over, and the kernel's lines may be late, too.
SETTLED_SECONDS = 30.0


@dataclass(frozen=True)
class IncidentCounts:
    """What was counted until a Unix time: incidents by service and kind, restarts by service.

    What hit no service is under the service ``""``.
    """

    until: float
    incidents: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)

    def counted(self, lives: Sequence[Life], episodes: Sequence[Episode], until: float) -> IncidentCounts:
        """Return the counts after what came later than ``self.until``, up to ``until``.

        Both sequences may reach further back: incidents are told apart by what went before them.
        """
        incidents = {service: dict(kinds) for service, kinds in self.incidents.items()}
        for episode in episodes:
            if self.until < episode.time <= until:
                kinds = incidents.setdefault(episode.service or "", {})
                kinds[episode.kind] = kinds.get(episode.kind, 0) + 1
        restarts = dict(self.restarts)
        for life in lives:
            if life.restarted and life.ended is not None and self.until < life.ended <= until:
                restarts[life.service] = restarts.get(life.service, 0) + 1
        return IncidentCounts(until, incidents, restarts)

    def to_json(self) -> str:
        """Return the counts as the text of a file."""
        return json.dumps({"until": self.until, "incidents": self.incidents, "restarts": self.restarts}) + "\n"


def read_counts(path: Path, now: float) -> IncidentCounts:
    """Return what was counted; where nothing was, or not readably, counting begins at ``now``."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        incidents = {
            str(name): {str(k): int(n) for k, n in kinds.items()} for name, kinds in values["incidents"].items()
        }
        restarts = {str(name): int(number) for name, number in values["restarts"].items()}
        return IncidentCounts(min(float(values["until"]), now), incidents, restarts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return IncidentCounts(now - SETTLED_SECONDS)
