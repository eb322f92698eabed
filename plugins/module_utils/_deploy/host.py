# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host, as a module's parameters describe it: its generations, its units, and the transaction between them."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from typing import Any, Callable

from .._calibration.gauge import Gauge, Recorder
from .._calibration.store import CalibrationStore
from .._errors import InferenceError, NotInstalledError
from .._generation.files import File, endpoints, tickets
from .._generation.store import GenerationStore
from .._generation.transaction import TransactionRecord
from .._generation.unit_links import UnitLinks
from .._gpu.nvml import import_from
from .._host.job import OnStep
from .._host.network import listen_problem
from .._host.podman import Podman
from .._host.systemd import RunCommand, Systemd
from .._incidents.journal import Journal
from .._places import Paths
from .changes import Changes, Desired
from .deployment import Deployment


class Host:
    """This host. Every method raises InferenceError for a request that cannot be carried out."""

    def __init__(self, params: Mapping[str, Any], run_command: RunCommand) -> None:
        import_from(params["tools_dir"])
        self.params = params
        self.run = run_command
        self.systemd = Systemd(run_command)
        self.journal = Journal(run_command)
        self.podman = Podman(run_command)
        self.paths = Paths(tools_dir=params["tools_dir"], user=params["user"], group=params["group"])
        self.store = GenerationStore(self.paths.config_root, _group_id(params["group"]))
        self.record = TransactionRecord(self.paths.transaction)

    def deployment(self, report: OnStep = lambda service, text: None) -> Deployment:
        """The transaction of this host, to look with, or to return with from one that was interrupted."""
        links, seconds = UnitLinks(self.paths), self.params["gate_timeout"]
        return Deployment(self.store, self.record, self.systemd, links, seconds, report=report)

    def served(self) -> Mapping[str, File]:
        """The files of the last generation that served."""
        return self.store.read(self.deployment().base())

    def transaction(self, wanted: Desired, report: OnStep) -> Deployment:
        """The transaction that applies ``wanted``; ``report(service, text)`` is told every step.

        What the started services use is recorded for plans to come.
        """
        links, seconds, by = UnitLinks(self.paths), self.params["gate_timeout"], self.params["requested_by"]
        return Deployment(
            self.store,
            self.record,
            self.systemd,
            links,
            seconds,
            report=report,
            serving=self._recorder(wanted, report),
            by=by or "somebody",
        )

    def _recorder(self, wanted: Desired, report: OnStep) -> Callable[[str], None]:
        if wanted.plan is None:
            return lambda service: None
        gauge = Gauge(wanted.plan, self.systemd, endpoints(wanted.files))
        return Recorder(wanted.plan, gauge, self.calibration(), report).record

    def calibration(self) -> CalibrationStore:
        """Return the records of what engines used on this host."""
        return CalibrationStore(group_id=_group_id(self.params["group"]))

    def refuse_unfit(self, changes: Changes, wanted: Desired) -> None:
        """Refuse what would be found only after something has stopped: a port that is taken, a unit that is none."""
        self._refuse_taken_ports(changes, wanted)
        if changes.any:
            self.podman.refuse_quadlets(wanted.files)

    def _refuse_taken_ports(self, changes: Changes, wanted: Desired) -> None:
        """Refuse a port that somebody else holds; those of our own services are about to be freed."""
        known = [tickets(files) for files in (self.served(), self.store.in_force())]
        running = self.systemd.states(sorted({name for found in known for name in found}))
        ours = {ticket.port for found in known for name, ticket in found.items() if running[name].main_pid}
        for name, ticket in tickets(wanted.files).items():
            problem = listen_problem(ticket.host, ticket.port) if name in changes.touched else None
            if problem and ticket.answers and ticket.port not in ours:
                raise InferenceError(f"service '{name}' {problem}", service=name)


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NotInstalledError(
            f"the group '{group}' does not exist on this host; the role llmops.inference.vllm_runtime creates it"
        ) from None
