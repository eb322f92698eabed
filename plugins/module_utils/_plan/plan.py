# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as data: what a host will run, on which devices, with which share, or why it cannot.

Nothing here computes. ``_placement`` makes a ``Plan``; the deployment writes it beside the
configuration that follows from it, and reads it back as it was. Sizes are bytes, lengths are tokens,
shares are fractions of a device's *total* memory with four decimals, as the engine's flag takes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Callable

from .._errors import InferenceError
from .._values import is_json, is_whole, shown
from .._versions import parse_version

SCHEMA = 1

ACCELERATORS = ("cuda", "cpu")
ON_OVERCOMMIT = ("refuse", "clamp")
CALIBRATION = ("auto", "ignore")
DEFAULT_BUDGET = 0.99  # of each device


@dataclass(frozen=True)
class Settings:
    """What holds for a whole host.

    ``gpu_memory_budget`` is a ceiling for the sum of shares on each device. Where it does not start there,
    ``on_overcommit`` decides whether the plan is made within what does (clamp) or refused (refuse).
    ``reserve_bytes`` stay free on each device. ``calibration`` says whether what was measured replaces estimates.
    """

    accelerator: str = "cuda"
    gpu_memory_budget: float = DEFAULT_BUDGET
    on_overcommit: str = "clamp"
    engine_version: str | None = None
    reserve_bytes: int = 0
    calibration: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values outside their range; InferenceError names the range."""
        for key, value, known in (
            ("accelerator", self.accelerator, ACCELERATORS),
            ("on_overcommit", self.on_overcommit, ON_OVERCOMMIT),
            ("calibration", self.calibration, CALIBRATION),
        ):
            if value not in known:
                raise InferenceError(f"{key} must be one of {', '.join(known)}, not {shown(value)}.")
        if self.engine_version is not None:
            parse_version(self.engine_version)
        budget, reserve = self.gpu_memory_budget, self.reserve_bytes
        if type(budget) not in (int, float) or not 0 < budget <= 1:
            raise InferenceError(
                f"gpu_memory_budget must be above 0 and at most 1, not {shown(budget)}; it is the "
                "fraction of a device's memory that the services on it may have together."
            )
        if not is_whole(reserve) or reserve < 0:
            raise InferenceError(f"reserve_bytes must be a whole number of bytes from 0, not {shown(reserve)}.")


@dataclass(frozen=True)
class PlannedService:
    """One service as it will run on this host. ``memory`` is per device: of its ranks here, the one that needs most."""

    name: str
    model: str
    served_model_name: str
    host: str
    port: int | None  # None: it listens on its unix socket
    devices: tuple[str, ...]
    device_indices: tuple[int, ...]
    tensor_parallel_size: int
    gpu_memory_utilization: float
    max_model_len: int
    kv_cache_tokens: int
    kv_cache_dtype: str
    kv_block_bytes: int  # of one block of the cache on one rank
    max_num_seqs: int
    max_num_batched_tokens: int
    start_order: int
    start_after: tuple[str, ...]
    memory: Mapping[str, int]
    memory_source: Mapping[str, str]  # "exact" | "estimated" | "measured"
    required_free_bytes: Mapping[str, int]  # device -> bytes that must be free before it starts
    rope_arguments: Mapping[str, Any]  # engine flags that carry the rope settings, {} without any
    fingerprint: str | None  # of the model's files; None for a model known by its geometry only
    reason: str  # why these devices, in one sentence
    length_reason: str  # why this context length, in bytes
    calibration_key: str | None = None  # under which its starts are recorded; None: they are not
    pipeline_parallel_size: int = 1
    nodes: int = 1  # hosts that run it
    node_rank: int = 0  # of this host among them; 0 answers requests


@dataclass(frozen=True)
class PlannedDevice:
    """One GPU, or one NUMA node where the accelerator is cpu."""

    id: str
    index: int
    name: str
    total_bytes: int
    committed_bytes: int  # shares and contexts of our services
    reserve_bytes: int
    used_by_others_bytes: int
    slack_bytes: int  # total - committed - reserve - used by others; never negative where the plan fits
    budget: float  # what the shares may sum to here, after a clamp
    committed_share: float
    highest_share: float  # the highest sum of shares with which every service here starts
    services: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Why something cannot be, in the arithmetic that says so.

    ``gate`` is the engine's own, at which it would stop. 1: the share is not free on the device. 2: the
    share does not hold what the service needs. None where no engine would be asked.
    ``nearest_fit`` has ``text`` for a reader, and the change as data: ``services`` (name -> layout keys to
    set) and ``settings``; it was planned and fits. None where no single change of the kinds tried helps.
    ``needed_bytes`` and ``available_bytes`` are of one device; None where it is not for want of bytes.
    """

    service: str
    reason: str
    arithmetic: str
    nearest_fit: Mapping[str, Any] | None = None
    gate: int | None = None
    needed_bytes: int | None = None
    available_bytes: int | None = None


@dataclass(frozen=True)
class Plan:
    """What the planner decided. ``fits`` is true exactly when nothing was refused."""

    accelerator: str
    engine_version: str | None
    gpu_memory_budget: float
    services: tuple[PlannedService, ...]  # in start order
    devices: tuple[PlannedDevice, ...]
    warnings: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    inputs_digest: str
    schema: int = field(default=SCHEMA)
    notes: tuple[str, ...] = ()  # what a reader should know where nothing is wrong

    @property
    def fits(self) -> bool:
        """Tell whether every service of the layout starts."""
        return not self.refusals

    def service(self, name: str) -> PlannedService:
        """Return the planned service of that name; KeyError when the plan has none."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan in JSON types."""
        return {"fits": self.fits, **_plain(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Return the plan that ``to_dict`` gave; InferenceError for anything else."""
        values = dict(data) if isinstance(data, Mapping) else {}
        values.pop("fits", None)
        for key, record in (("services", PlannedService), ("devices", PlannedDevice), ("refusals", Refusal)):
            items = values.get(key)
            if isinstance(items, (list, tuple)):
                values[key] = tuple(record(**_checked(record, item, f"plan.{key}")) for item in items)
        return cls(**_checked(cls, values, "plan"))


# What JSON may give for a field, by its annotation; tuples come as lists.
FIELD_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "int": is_whole,
    "int | None": lambda value: value is None or is_whole(value),
    "float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "tuple[str, ...]": lambda value: isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value),
    "tuple[int, ...]": lambda value: isinstance(value, (list, tuple)) and all(map(is_whole, value)),
    "tuple[PlannedService, ...]": lambda value: isinstance(value, tuple),
    "tuple[PlannedDevice, ...]": lambda value: isinstance(value, tuple),
    "tuple[Refusal, ...]": lambda value: isinstance(value, tuple),
    "Mapping[str, str]": lambda value: isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values()),
    "Mapping[str, int]": lambda value: isinstance(value, Mapping) and all(map(is_whole, value.values())),
    "Mapping[str, Any]": lambda value: isinstance(value, Mapping) and is_json(value),
    "Mapping[str, Any] | None": lambda value: value is None or (isinstance(value, Mapping) and is_json(value)),
}


def _checked(record: type, item: Any, where: str) -> dict[str, Any]:
    """Return the values of a record as read from JSON; InferenceError where one is absent or of another kind."""
    values = item if isinstance(item, Mapping) else {}
    known = fields(record)
    needed = {entry.name for entry in known if entry.default is MISSING}
    if not needed <= set(values) <= {entry.name for entry in known}:
        raise InferenceError(f"{where}: {shown(item)} does not have the keys {', '.join(sorted(needed))}.")
    result = {}
    for entry in known:
        if entry.name not in values:
            continue
        value = values[entry.name]
        if not FIELD_KINDS[str(entry.type)](value):
            raise InferenceError(f"{where}.{entry.name} is {shown(value)}; {entry.type} is due.")
        result[entry.name] = tuple(value) if isinstance(value, list) else value
    return result


def _plain(value: Any) -> Any:
    """Return ``value`` with dataclasses as dictionaries and tuples as lists, as JSON would give it back."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if is_dataclass(value):
        return {key: _plain(item) for key, item in vars(value).items()}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Measured:
    """What starts of a service took on each device, in bytes.

    ``overhead`` is everything in the share but the KV cache; ``transient`` and ``graphs`` are parts of it, 0 where the
    engine does not tell them apart. ``outside`` is None where nothing told.
    """

    overhead: int
    transient: int = 0
    graphs: int = 0
    outside: int | None = None
