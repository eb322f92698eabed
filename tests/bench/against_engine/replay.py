# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of today on the machine of the recorded trials: what it says of each, beside what the engine did. Pure.

Every row is judged twice, with the planner's estimates and with the calibrating starts. Where the plan decided a share
or a length itself, it was near its own border: such a row is judged in the mode in which it was planned, and in the
other one only for its tokens, as if what was started had been stated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from ansible_collections.llmops.inference.plugins.module_utils._calibration.records import Usage, worst
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._model.model import Checkpoint, checkpoint_from_geometry
from ansible_collections.llmops.inference.plugins.module_utils._plan.calibration import Calibration
from ansible_collections.llmops.inference.plugins.module_utils._plan.devices import find_devices
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan, PlannedService, Settings
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import plan

MEASURED = Path(__file__).with_name("measured.jsonl")
STARTS, GATE_1, GATE_2, BUDGET = "starts", "gate 1", "gate 2", "budget"
MODES = (False, True)  # with estimates, calibrated
GIB = 1 << 30
_AVAILABLE = re.compile(r"Available memory on node \d+ \(([\d.]+)/")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tokens:
    """A KV cache as planned and as the engine reported it."""

    service: str
    predicted: int
    actual: int
    cache_bytes: int  # as planned

    @property
    def error(self) -> float:
        """Relative to what the engine had; above 0 where the plan promised too much."""
        return self.predicted / self.actual - 1


@dataclass(frozen=True)
class Judgement:
    """What the plan says of a row in one mode, and what the engine did."""

    row: Row
    calibrated: bool
    predicted: str
    actual: str
    tokens: tuple[Tokens, ...]
    changed: tuple[str, ...]  # what was started otherwise than today's plan has it

    @property
    def is_false_fit(self) -> bool:
        return self.predicted == STARTS != self.actual

    @property
    def is_false_refusal(self) -> bool:
        return self.actual == STARTS != self.predicted


class Trials:
    """The recorded trials of one machine and engine."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.machine, *rows = [json.loads(line) for line in lines if line.strip()]
        self.calibrating: list[Row] = [row for row in rows if row["axis"] == "calibration" and not row["cold"]]
        self.rows: list[Row] = [row for row in rows if row["axis"] != "calibration" and not row["cold"]]
        self.cold: list[Row] = [row for row in rows if row["axis"] != "calibration" and row["cold"]]

    @classmethod
    def read(cls, path: Path = MEASURED) -> Trials:
        """Return the trials that a file keeps."""
        return cls(path.read_text(encoding="utf-8").splitlines())

    @cached_property
    def models(self) -> dict[str, Checkpoint]:
        """The models by the names of their services, as they were on the host."""
        return {
            name: replace(checkpoint_from_geometry(model["geometry"]), fingerprint=model["fingerprint"])
            for name, model in self.machine["models"].items()
        }

    def plan(self, row: Row, layout: Sequence[Mapping[str, Any]], calibrated: bool) -> Plan:
        """Return the plan of a layout in the situation of a row, calibrated with what was recorded before it."""
        node = {
            "index": 0,
            "memory_total_bytes": row["total_bytes"],
            "memory_free_bytes": row["free_bytes"],
            "cpus": self.machine["cpus"],
        }
        services, topology = parse_layout(layout, "cpu"), Topology.from_dict({"numa_nodes": [node]})
        models = {item["name"]: self.models[item["name"]] for item in layout}
        settings = Settings("cpu", engine_version=self.machine["engine_version"], **row["settings"])
        calibration = Calibration({}, find_devices(topology, "cpu"), topology, settings)
        records = {}
        for service in services if calibrated else ():
            key = calibration.key(service, models[service.name])
            measured = worst([Usage(**row["recorded"][service.name])])
            if key is not None and measured is not None:
                records[key] = measured
        return plan(services, topology, models, settings, row["used_by_others"], records=records, suggest=False)

    def judge(self, row: Row, calibrated: bool) -> Judgement:
        """Return what the plan says of a row in one mode."""
        as_planned = calibrated == row["calibrated"]
        made = self.plan(row, row["layout"] if as_planned else started_layout(row), calibrated)
        actual = row["starts"][-1]["verdict"]
        tokens = [
            Tokens(start["service"], planned.kv_cache_tokens, start["kv_cache_tokens"], planned.memory["kv_cache"])
            for planned, start in _pairs(made, row)
            if start["kv_cache_tokens"]
        ]
        changed = [
            f"{planned.name}: {planned.gpu_memory_utilization} and {planned.max_model_len} tokens planned, "
            f"{start['share']} and {start['max_model_len']} started"
            for planned, start in _pairs(made, row)
            if (planned.gpu_memory_utilization, planned.max_model_len) != (start["share"], start["max_model_len"])
        ]
        return Judgement(row, calibrated, verdict(made, actual), actual, tuple(tokens), tuple(changed))

    @lru_cache(maxsize=2)  # noqa: B019 - trials live as long as the process
    def judgements(self, calibrated: bool) -> list[Judgement]:
        """Return what the plan says of the rows in one mode, as far as its verdict counts there."""
        rows = [row for row in self.rows_of(calibrated) if row["calibrated"] == calibrated or is_stated(row)]
        return [self.judge(row, calibrated) for row in rows]

    @lru_cache(maxsize=2)  # noqa: B019
    def tokens(self, calibrated: bool) -> list[Tokens]:
        """Return the tokens that the plan expects in one mode of every start that reported some."""
        return [tokens for row in self.rows_of(calibrated) for tokens in self.judge(row, calibrated).tokens]

    def rows_of(self, calibrated: bool) -> list[Row]:
        """Return the rows that can be planned in a mode: all, or those with a record for each of their services."""
        return [row for row in self.rows if not calibrated or len(row["recorded"]) == len(row["layout"])]

    def asked_beyond(self, calibrated: bool) -> list[int]:
        """Return by how many bytes each share that the plan asks for exceeds what the start would have done with."""
        found = []
        for row in self.rows_of(calibrated):
            made = self.plan(row, started_layout(row), calibrated)
            for planned, start in _pairs(made, row):
                if start["consumed_bytes"] and start["kv_cache_tokens"] and made.fits:
                    fixed = sum(planned.memory[name] for name in ("weights", "persistent", "transient", "graphs"))
                    found.append(fixed - start["consumed_bytes"])
        return found

    def gone_before_gate_1(self) -> list[tuple[Row, int]]:
        """Return what an engine's own processes held when its gate 1 looked, where it refused: in bytes."""
        found = []
        for row in self.rows:
            start = row["starts"][-1]
            shown = _AVAILABLE.search(start["said"])
            if start["verdict"] == GATE_1 and shown:
                found.append((row, start["free_before_bytes"] - round(float(shown[1]) * GIB)))
        return found


def is_stated(row: Row) -> bool:
    """Whether the layout of a row leaves neither a share nor a length to the plan."""
    return all("gpu_memory_utilization" in item and item["max_model_len"] != "fit" for item in row["layout"])


def started_layout(row: Row) -> list[dict[str, Any]]:
    """Return the layout of a row with the shares and lengths with which its services were started."""
    started = {start["service"]: start for start in row["starts"]}
    result = []
    for item in row["layout"]:
        start = started.get(item["name"])
        decided = (
            {} if start is None else {"gpu_memory_utilization": start["share"], "max_model_len": start["max_model_len"]}
        )
        result.append({**item, **decided})
    return result


def verdict(made: Plan, actual: str) -> str:
    """Return what the plan says: ``starts``, or the gate; of several that of the engine, where it is among them."""
    if made.fits:
        return STARTS
    gates = [f"gate {item.gate}" for item in made.refusals if item.gate is not None]
    return actual if actual in gates else gates[0] if gates else BUDGET


def _pairs(made: Plan, row: Row) -> Iterator[tuple[PlannedService, Row]]:
    """Yield each service of a plan that fits with each of its starts."""
    if made.fits:
        for start in row["starts"]:
            yield made.service(start["service"]), start
