# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests a service has finished, by the hour: what incidents are counted against.

An engine counts from its start, and forgets with its end. Every look of the watchdog therefore adds to a file what
was finished since the look before. Requests between the last look and the end of an engine are lost, and so is all
that happens while nobody looks; those that the watchdog asked for itself are left out.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .. import _files
from .metrics import Metrics

LEDGER_DIRECTORY = Path("/var/lib/vllm/watchdog")
HOUR = 3600
_FILE, _MODE = "requests.json", 0o644
_KEPT_HOURS = 31 * 24


@dataclass(frozen=True)
class Tally:
    """Finished requests by the hour they were seen in (Unix time // 3600, as text), and the last reading.

    ``own`` are requests of ours that the engine will have counted by the next reading.
    """

    invocation: str = ""
    finished: int = 0
    own: int = 0
    hours: Mapping[str, int] = field(default_factory=dict)

    def add(self, invocation: str, finished: int, hour: int) -> Tally:
        """Take a reading of the engine's own counter at an hour; a new engine has counted its gate's request."""
        known, own = (self.finished, self.own) if invocation == self.invocation else (0, 1)
        new = max(0, finished - known - own)
        hours = {key: count for key, count in self.hours.items() if int(key) > hour - _KEPT_HOURS}
        if new:
            hours[str(hour)] = hours.get(str(hour), 0) + new
        return Tally(invocation, finished, 0, hours)

    def since(self, start: float) -> int:
        """Return the requests since a Unix time, the whole of its hour included."""
        return sum(count for key, count in self.hours.items() if int(key) >= start // HOUR)


class Ledger:
    """The file of one service, ``requests.json`` in a directory that its watchdog may write."""

    def __init__(self, service: str, directory: Path = LEDGER_DIRECTORY) -> None:
        # The directory of ledgers belongs to the services' user: only the one above its parent is trusted.
        self._base, self._names = directory.parents[1], (directory.parent.name, directory.name, service, _FILE)

    def read(self) -> Tally | None:
        """Return what was counted; None where nothing was, or not readably."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            values = _files.read_object_below(self._base, *self._names)
            hours = {str(int(hour)): int(number) for hour, number in values["hours"].items()}
            return Tally(str(values["invocation"]), int(values["finished"]), int(values["own"]), hours)
        return None

    def record(self, invocation: str, metrics: Metrics | None, own: bool) -> None:
        """Add what the metrics of this start tell; ``own``: a request of ours is not among them yet."""
        tally = self.read() or Tally()
        if metrics is not None:
            tally = tally.add(invocation, metrics.finished, int(time.time()) // HOUR)
        tally = Tally(tally.invocation, tally.finished, tally.own + own, tally.hours)
        _files.replace_below(self._base, *self._names, text=json.dumps(asdict(tally)), mode=_MODE)
