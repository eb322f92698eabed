# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning many layouts of one host: what every plan of it rests on is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._arguments import settings_from
from ._calibration_store import CalibrationStore
from ._checkpoint import Checkpoint
from ._gpu_health import judged_by
from ._incidents.journal import Journal
from ._layout import Service
from ._memory import Measured
from ._nvml import import_from, read_topology
from ._placement import plan
from ._plan import Plan, Settings
from ._survey import read_used_by_others, stated_bytes
from ._systemd import RunCommand
from ._topology import Topology
from ._xid import with_xids


@dataclass(frozen=True)
class Ground:
    """A machine as it is planned for; ``usable`` is its topology after ``gpu_health`` had its say."""

    settings: Settings
    topology: Topology
    usable: Topology
    used_by_others: Mapping[str, int]
    records: Mapping[str, Measured]

    def plan(self, services: Sequence[Service], models: Mapping[str, Checkpoint], *, suggest: bool = True) -> Plan:
        """Return the plan of these services; ``suggest`` searches for changes that would fit where they do not."""
        return plan(
            services,
            self.usable,
            models,
            self.settings,
            self.used_by_others,
            records=self.records,
            suggest=suggest,
        )


def read_ground(params: Mapping[str, Any], run: RunCommand) -> Ground:
    """Return this host, or the machine that ``topology`` states, as a module's parameters describe it.

    ``topology`` and ``used_by_others`` may be absent. InferenceError for what is no machine.
    """
    settings = settings_from(params)
    stated = stated_bytes(params.get("used_by_others"))
    if params.get("topology") is not None:
        topology = Topology.from_dict(params["topology"])
        return Ground(settings, topology, judged_by(params["gpu_health"], topology), stated, {})
    import_from(params["tools_dir"])
    topology = with_xids(read_topology(), Journal(run).xids_since_boot())
    others = {**read_used_by_others(topology, settings.accelerator), **stated}
    usable = judged_by(params["gpu_health"], topology)
    return Ground(settings, topology, usable, others, CalibrationStore().measured())
