# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries combinations on the host that this runs on: what the plan says of each, and what the engine then does.

The plan is made as the modules make it: from this host's topology and memory, from the model's files, and with what
earlier starts were recorded to take. Where it fits, the engines are started with the configuration that follows from
it, one after the other, and each that has neighbours once more while these hold all of theirs. Where it does not, they
are started all the same with what the layout states. Prints a JSON object per line: first the machine and the
calibrating starts, then each combination.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._calibration.gauge import Gauge, Recorder
from ansible_collections.llmops.inference.plugins.module_utils._calibration.records import Usage
from ansible_collections.llmops.inference.plugins.module_utils._calibration.store import CalibrationStore
from ansible_collections.llmops.inference.plugins.module_utils._deploy.inputs import read_models, read_used_by_others
from ansible_collections.llmops.inference.plugins.module_utils._engine.endpoint import Endpoint
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import read_engine
from ansible_collections.llmops.inference.plugins.module_utils._engine.startup_log import read_startup_log
from ansible_collections.llmops.inference.plugins.module_utils._gpu.nvml import read_topology
from ansible_collections.llmops.inference.plugins.module_utils._gpu.other_processes import resident_bytes, unit_pids
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import Systemd
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import Service, parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, PlannedService, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan
from ansible_collections.llmops.inference.plugins.module_utils._plan.shares import SHARE_UNITS, to_units, units_bytes
from ansible_collections.llmops.inference.plugins.module_utils._plan.sizing import FIT_LEAST_TOKENS
from ansible_collections.llmops.inference.plugins.module_utils._render.engine_config import (
    config,
    config_text,
    engine_environment,
)
from ansible_collections.llmops.inference.tests.bench.against_engine.combinations import (
    COLD,
    FILL_LIMIT_BYTES,
    SAMPLE,
    Combination,
    calibrating,
    calibrating_for,
    combinations,
    kind,
)
from ansible_collections.llmops.inference.tests.bench.against_engine.engines import (
    STARTS,
    Engines,
    Outcome,
    free_bytes,
    wait_until_quiet,
)

# A node on which every single service fits: where those that are refused get a configuration to start with.
_ENDLESS_BYTES = 1 << 50
# A trial whose outcome hangs on free memory counts where others kept theirs to this many bytes while it ran.
QUIET_BYTES = 192 << 20
ATTEMPTS = 3


@dataclass(frozen=True)
class Situation:
    """This host as the plan of one combination saw it."""

    topology: Topology
    used_by_others: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        return self.topology.numa_nodes[0].memory_total_bytes


class _Journal(Systemd):
    """The logs of engines in the place of their units' journals."""

    def __init__(self) -> None:
        super().__init__(lambda command: (1, "", ""))
        self.logs: dict[str, list[str]] = {}

    def startup(self, service: str) -> list[str]:
        """Everything that a service wrote until it was ready."""
        return self.logs[service]


class Trials:
    """Tries one combination after the other."""

    def __init__(self, engines: Engines, version: str, store: CalibrationStore, directory: Path) -> None:
        self._engines = engines
        self._engine = read_engine("/opt/vllm", version, "cpu")
        self._store = store
        self._directory = directory
        self._recorded: dict[str, Any] = {}  # by kind of service

    def take(self, combination: Combination, record: bool = False) -> dict[str, Any]:
        """Return a combination, what the host was like, and what every start came to.

        Where the plan or the engine stops at gate 1 and others took or gave back memory meanwhile, it is tried again.
        """
        for _attempt in range(ATTEMPTS - 1):
            row = self._take(combination, record)
            verdicts = {start["verdict"] for start in row["starts"]}
            at_gate_1 = "gate 1" in verdicts or any(gate == 1 for _name, gate, _sum in row["refusals"])
            if not at_gate_1 or max(start["disturbed_bytes"] for start in row["starts"]) <= QUIET_BYTES:
                return row
        return self._take(combination, record)

    def _take(self, combination: Combination, record: bool) -> dict[str, Any]:
        services = parse_layout(combination.layout, "cpu")
        models = read_models(services)
        settings = Settings("cpu", engine_version=self._engine.version, **combination.settings)
        with _memory_of_others(combination.others_gib):
            if combination.is_tight:
                wait_until_quiet()
            topology = read_topology()
            seen = Situation(topology, read_used_by_others(topology, "cpu"))
            records = self._store.measured() if combination.calibrated else {}
            made = plan(services, topology, models, settings, seen.used_by_others, records=records)
            planned = {service.name: self._planned(service, made, models, settings) for service in services}
            order = _order(made, [planned[service.name] for service in services], seen, combination.backwards)
            by_name = {service.name: service for service in services}
            try:
                starts = list(self._starts([(by_name[item.name], item) for item in order], seen, made, record))
            finally:
                self._engines.stop_all()
        if record:
            self._recorded[kind(combination.layout[0])] = starts[-1]["usage"]
        return {
            "name": combination.name,
            "axis": combination.axis,
            "layout": [dict(item) for item in combination.layout],
            "settings": dict(combination.settings),
            "calibrated": combination.calibrated,
            "backwards": combination.backwards,
            "total_bytes": seen.total_bytes,
            "free_bytes": topology.numa_nodes[0].memory_free_bytes,
            "used_by_others": dict(seen.used_by_others),
            "refusals": [[item.service, item.gate, item.reason] for item in made.refusals],
            "starts": starts,
            "recorded": {
                item["name"]: self._recorded[kind(item)] for item in combination.layout if kind(item) in self._recorded
            },
        }

    def _planned(
        self, service: Service, made: Plan, models: Mapping[str, Checkpoint], settings: Settings
    ) -> PlannedService:
        """Return a service as planned; where the plan has refused anything, as the layout states it."""
        if made.fits:
            return made.service(service.name)
        share = service.gpu_memory_utilization or settings.gpu_memory_budget / len(models)
        stated = replace(service, gpu_memory_utilization=0.5, max_model_len=service.max_model_len or FIT_LEAST_TOKENS)
        node = {"index": 0, "memory_total_bytes": _ENDLESS_BYTES, "memory_free_bytes": _ENDLESS_BYTES}
        endless = Topology.from_dict({"numa_nodes": [node]})
        literally = replace(settings, gpu_memory_budget=1.0, on_overcommit="refuse")
        planned = plan([stated], endless, models, literally).service(service.name)
        return replace(planned, gpu_memory_utilization=to_units(share) / SHARE_UNITS)

    def _starts(
        self, order: Sequence[tuple[Service, PlannedService]], seen: Situation, made: Plan, record: bool
    ) -> Iterator[dict[str, Any]]:
        """Start them all in that order, then those that had no neighbours yet again; end with the first that fails."""
        held = 0
        again = [(service, planned, True) for service, planned in order[:-1]]
        for service, planned, beside_all in [*((*pair, False) for pair in order), *again]:
            share = units_bytes(to_units(planned.gpu_memory_utilization), seen.total_bytes)
            if beside_all:
                self._engines.stop(service.name)
            else:
                held += share
            to_the_gates = held > FILL_LIMIT_BYTES
            free, others = free_bytes(), read_used_by_others(read_topology(), "cpu")
            outcome = self._start(service, planned, to_the_gates)
            resident = resident_bytes(unit_pids(service.name))
            if to_the_gates:
                self._engines.stop(service.name)
            log = read_startup_log(outcome.log)
            yield {
                "service": service.name,
                "share": planned.gpu_memory_utilization,
                "share_bytes": share,
                "max_model_len": planned.max_model_len,
                "beside_all": beside_all,
                "verdict": outcome.verdict,
                "said": outcome.said,
                "free_before_bytes": free,
                "disturbed_bytes": max(abs(size - seen.used_by_others[node]) for node, size in others.items()),
                "resident_bytes": resident,
                "kv_cache_tokens": log.kv_cache_tokens,
                "consumed_bytes": log.consumed_bytes,
                "seconds": round(outcome.seconds, 1),
                "usage": self._usage(service, made, outcome, record) if not to_the_gates else None,
            }
            if outcome.verdict != STARTS or to_the_gates:
                return

    def _start(self, service: Service, planned: PlannedService, to_the_gates: bool) -> Outcome:
        file = self._directory / f"{service.name}.yaml"
        file.write_text(config_text(config(service, planned, self._engine)))
        endpoint = Endpoint(service.host, service.port, service.served_model_name)
        variables = engine_environment(service, replace(planned, device_indices=(0,)), self._engine)
        return self._engines.start(service.name, file, variables, endpoint).wait(to_the_gates)

    def _usage(self, service: Service, made: Plan, outcome: Outcome, record: bool) -> dict[str, Any] | None:
        """Return what a start took, as the deployment would measure and record it."""
        if outcome.verdict != STARTS or not made.fits:
            return None
        journal = _Journal()
        journal.logs[service.name] = outcome.log
        endpoint = Endpoint(service.host, service.port, service.served_model_name)
        gauge = Gauge(made, journal, {service.name: endpoint})
        if record:
            Recorder(made, gauge, self._store, _complain).record(service.name)
            key = made.service(service.name).calibration_key or ""
            return vars(self._store.starts(key)[-1])
        taken: Usage = gauge.read(service.name, just_started=True)
        return vars(taken)


def _complain(service: str, what: str) -> None:
    raise RuntimeError(f"{service}: {what}")


def _order(made: Plan, planned: Sequence[PlannedService], seen: Situation, backwards: bool) -> list[PlannedService]:
    """Return the plan's order of starts, or its reverse; what is too large to be filled comes last."""
    if made.fits:
        planned = made.services
    found = list(reversed(planned)) if backwards else list(planned)
    return sorted(found, key=lambda item: item.gpu_memory_utilization * seen.total_bytes > FILL_LIMIT_BYTES)


@contextlib.contextmanager
def _memory_of_others(gib: float) -> Iterator[None]:
    """Hold so much memory, which belongs to no service."""
    if not gib:
        yield
        return
    hold = "import mmap, sys; memory = mmap.mmap(-1, int(sys.argv[1]) << 20); mib = bytes(1 << 20)"
    fill = "[memory.write(mib) for _ in range(int(sys.argv[1]))]; print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", f"{hold}; {fill}", str(int(gib * 1024))]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield
    finally:
        holder.kill()
        holder.wait()


def machine(version: str, services: Sequence[Service], topology: Topology) -> dict[str, Any]:
    """Return what the rows have in common."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    node = topology.numa_nodes[0]
    models = read_models(services)
    return {
        "engine_version": version,
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor,
        "cpus": list(node.cpus),
        "total_bytes": node.memory_total_bytes,
        "models": {
            service.name: {
                "geometry": {
                    **json.loads(Path(service.model, "config.json").read_text(encoding="utf-8")),
                    "weights_bytes": models[service.name].rank_weights(1),
                },
                "fingerprint": models[service.name].fingerprint,
            }
            for service in services
        },
    }


def main() -> None:
    """Try what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine-version", required=True)
    parser.add_argument("--cold", action="store_true", help="start engines as their units would, without forks")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="combinations; all of them by default")
    parser.add_argument("--sample", action="store_true", help="some combinations only")
    arguments = parser.parse_args()
    topology = read_topology()
    total = topology.numa_nodes[0].memory_total_bytes
    names = SAMPLE if arguments.sample else COLD if arguments.cold and not arguments.only else arguments.only
    chosen = [item for item in combinations(total) if not names or item.name in names]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        engine = read_engine("/opt/vllm", arguments.engine_version, "cpu")
        engines = Engines(engine, directory, warm=not arguments.cold)
        trials = Trials(engines, engine.version, CalibrationStore(str(directory / "calibration")), directory)
        services = parse_layout([item.layout[0] for item in list(calibrating())[::2]], "cpu")
        print(json.dumps(machine(engine.version, services, topology)), flush=True)
        try:
            for item in calibrating_for(chosen):
                print(json.dumps({**trials.take(item, record=True), "cold": arguments.cold}), flush=True)
            for item in chosen:
                print(json.dumps({**trials.take(item), "cold": arguments.cold}), flush=True)
        finally:
            engines.close()


if __name__ == "__main__":
    main()
