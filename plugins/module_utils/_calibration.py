# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration: what engines really used on this host replaces estimates in its next plan. Pure.

A share holds R = ceil(u * T) bytes, and the engine gives the KV cache what is left of it. The bytes of the cache
therefore tell, to a block, everything else that the share was charged with, here called its overhead. Overhead and
bytes outside the share do not depend on the share or on the length of the context, so that one start predicts others.

A record is kept per *key*: the hardware, the engine, the model and every setting that moves memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._checkpoint import Checkpoint
from ._devices import Device, resolve
from ._errors import InferenceError
from ._layout import Service
from ._memory import Measured
from ._plan import Settings
from ._startup_log import ROUNDING_BYTES, StartupLog
from ._topology import Topology
from ._values import is_whole, merged

# Flags of the engine that decide how it talks, not what it holds.
_SPOKEN_FLAGS = frozenset(
    {
        "chat-template",
        "chat-template-content-format",
        "default-chat-template-kwargs",
        "disable-fastapi-docs",
        "enable-auto-tool-choice",
        "enable-log-requests",
        "generation-config",
        "override-generation-config",
        "reasoning-parser",
        "response-role",
        "tool-call-parser",
        "uvicorn-log-level",
    }
)
# Starts that a record keeps; the plan uses the worst of them.
KEPT_STARTS = 8


@dataclass(frozen=True)
class Usage:
    """What one start took on each of its devices, in bytes and tokens; None where nothing told.

    ``share_bytes`` is R, and ``kv_cache_bytes`` what the engine made of it. ``follows_share`` is false where the size
    of the cache was stated to the engine, so that it says nothing about the rest. ``transient_bytes`` is without
    ``graphs_bytes``. ``outside_bytes`` is what lies outside the share.
    """

    share_bytes: int
    kv_cache_bytes: int | None
    kv_cache_tokens: int | None
    follows_share: bool
    weights_bytes: int | None = None
    transient_bytes: int | None = None
    graphs_bytes: int | None = None
    outside_bytes: int | None = None

    @property
    def overhead_bytes(self) -> int | None:
        """What the share was charged with beside the cache."""
        if self.kv_cache_bytes is None or not self.follows_share:
            return None
        return self.share_bytes - self.kv_cache_bytes


def usage(
    share_bytes: int, block_bytes: int, log: StartupLog, blocks: int | None, outside_bytes: int | None = None
) -> Usage:
    """Return what a start used: the log says where its cache came from, the number of blocks how big it is exactly.

    ``blocks`` is the engine's own count, and ``block_bytes`` what the plan takes one for; where their product is not
    what the log says is there, the log wins.
    """
    cache = None if blocks is None else blocks * block_bytes
    if log.kv_cache_bytes is not None:
        low, high = log.kv_cache_bytes - ROUNDING_BYTES, log.kv_cache_bytes + ROUNDING_BYTES
        if cache is None or not low - block_bytes <= cache <= high:
            cache = low
    stated = log.share_bytes is not None and abs(log.share_bytes - share_bytes) > 2 * ROUNDING_BYTES
    graphs, transient = log.graphs_bytes, log.transient_bytes
    if transient is not None:
        transient = max(0, transient - (graphs or 0))
    return Usage(
        share_bytes=share_bytes,
        kv_cache_bytes=cache,
        kv_cache_tokens=log.kv_cache_tokens,
        follows_share=log.kv_cache_bytes is not None and not stated and 0 <= (cache or 0) < share_bytes,
        weights_bytes=log.weights_bytes,
        transient_bytes=transient,
        graphs_bytes=graphs,
        outside_bytes=outside_bytes,
    )


def worst(starts: Sequence[Usage]) -> Measured | None:
    """Return what to plan with after these starts; None where none of them tells."""
    telling = [start for start in starts if start.overhead_bytes is not None]
    if not telling:
        return None
    highest = max(telling, key=lambda start: start.overhead_bytes or 0)
    outside = [start.outside_bytes for start in starts if start.outside_bytes is not None]
    return Measured(
        overhead=highest.overhead_bytes or 0,
        transient=highest.transient_bytes or 0,
        graphs=highest.graphs_bytes or 0,
        outside=max(outside) if outside else None,
    )


class Calibration:
    """The records of a host, and under which key each service of a layout has its own."""

    def __init__(
        self,
        records: Mapping[str, Measured],
        devices: Sequence[Device],
        topology: Topology,
        settings: Settings,
    ) -> None:
        self._records = records if settings.calibration == "auto" else {}
        self._devices = devices
        self._settings = settings
        self._hardware = {device.id: _hardware(device, topology) for device in devices if device.problem is None}

    def key(self, service: Service, checkpoint: Checkpoint) -> str | None:
        """Return the key of a service; None where what will run it is not known well enough.

        That is a model without files, an engine of any version, or a choice among devices of several kinds.
        """
        if checkpoint.fingerprint is None or self._settings.engine_version is None:
            return None
        if service.multi_node or service.pipeline_parallel_size > 1:
            return None  # the engine tells of the cache of its tightest rank, wherever that is
        hardware = {self._hardware[device.id] for device in self._candidates(service) if device.id in self._hardware}
        if len(hardware) != 1:
            return None
        flags = {flag: value for flag, value in service.engine_args.items() if flag not in _SPOKEN_FLAGS}
        stated = {
            "accelerator": [self._settings.accelerator, *hardware],
            "engine_version": self._settings.engine_version,
            "model": [checkpoint.fingerprint, repr(checkpoint.geometry)],
            "tensor_parallel_size": service.tensor_parallel_size,
            "max_num_seqs": service.max_num_seqs,
            "max_num_batched_tokens": service.max_num_batched_tokens,
            "kv_cache_dtype": service.kv_cache_dtype,
            "rope": repr(service.rope),
            # The latent cache is unpacked into a buffer that grows with the context.
            "max_model_len": service.max_model_len if checkpoint.geometry.uses_mla else None,
            "engine_args": merged(flags),
            "environment": dict(service.environment),
        }
        return hashlib.sha256(json.dumps(stated, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def measured(self, key: str | None) -> Measured | None:
        """Return what starts under that key took on this host; None where there was none."""
        return None if key is None else self._records.get(key)

    def _candidates(self, service: Service) -> Sequence[Device]:
        if service.gpus is None:
            return self._devices
        try:
            return [resolve(name, self._devices) for name in service.gpus]
        except InferenceError:
            return ()  # refused later, with its reason


def _hardware(device: Device, topology: Topology) -> str:
    """What of a device moves an engine's memory: the card and its driver, or the threads that a node has."""
    for node in topology.numa_nodes:
        if device.id == f"numa:{node.index}":
            return f"{len(node.cpus)} threads"
    return f"{device.name}, driver {topology.driver_version}"


def to_record(of: Mapping[str, Any], starts: Sequence[Usage]) -> dict[str, Any]:
    """Return a record in JSON types; ``of`` says in plain words whose it is."""
    return {"schema": 1, "of": dict(of), "starts": [vars(start) for start in starts[-KEPT_STARTS:]]}


def from_record(data: Any) -> list[Usage]:
    """Return the starts of a record, oldest first; what is no record of ours has none."""
    try:
        starts = [Usage(**start) for start in data["starts"]] if data["schema"] == 1 else []
        return [start for start in starts if _is_sound(start)]
    except (TypeError, KeyError):
        return []


def _is_sound(start: Usage) -> bool:
    sizes = [value for name, value in vars(start).items() if name != "follows_share" and value is not None]
    return all(is_whole(size) and size >= 0 for size in sizes) and start.share_bytes > 0
