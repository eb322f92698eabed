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

from .._errors import InferenceError
from .._gpu.topology import Topology
from .._model.model import Checkpoint
from .._values import merged
from .devices import Device, resolve
from .layout import Service
from .plan import Measured, Settings

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
            return None  # the engine reports the cache of its tightest rank, wherever that is
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
