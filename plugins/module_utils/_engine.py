# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One planned service -> the engine's configuration file and environment, for the installed engine version. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._errors import InferenceError
from ._layout import Service
from ._plan import PlannedService
from ._ticket import socket_path


@dataclass(frozen=True)
class Engine:
    """An installed engine, as it described itself when it was installed.

    ``flags`` are the long options of ``vllm serve`` without their dashes; ``directory`` is the root of its virtual
    environment, e.g. ``/opt/vllm/0.32.0``, or ``image`` the id of the image that holds it, ``sha256:HEX``.
    """

    version: str
    distribution: str
    accelerator: str
    directory: str
    flags: frozenset[str]
    image: str | None = None

    @property
    def executable(self) -> str:
        """The console script that a unit starts: its path, or its name where the image knows the path."""
        return "vllm" if self.image else f"{self.directory}/bin/vllm"


def check_engine_args(service: Service, engine: Engine) -> None:
    """Refuse a flag, or a way to listen, that the installed engine does not have.

    Raises InferenceError naming the flag, the service and the nearest flags that exist.
    """
    if service.port is None and "uds" not in engine.flags:
        raise InferenceError(
            f"service '{service.name}': socket: {engine.distribution} {engine.version} cannot listen on a unix socket; "
            "state a port instead",
            service=service.name,
        )
    for flag in service.engine_args:
        if flag in engine.flags or (flag.startswith("no-") and flag[len("no-") :] in engine.flags):
            continue
        nearest = difflib.get_close_matches(flag, sorted(engine.flags), n=3, cutoff=0.5)
        hint = f"nearest: {', '.join(nearest)}" if nearest else "no flag has a similar name"
        raise InferenceError(
            f"service '{service.name}': engine_args: {engine.distribution} {engine.version} has no flag "
            f"'{flag}' ({hint}); correct it or leave it out",
            service=service.name,
            flag=flag,
            nearest=nearest,
        )


def config(service: Service, planned: PlannedService) -> dict[str, Any]:
    """The engine's configuration as a mapping of flag names, in the order of the file.

    ``planned`` gives the numbers that the plan decided: share (fraction of the device's total memory), context
    length (tokens), tensor-parallel size.
    """
    values: dict[str, Any] = {
        "model": service.model,
        "served-model-name": [service.served_model_name],
        **({"host": service.host, "port": service.port} if service.port else {"uds": socket_path(service.name)}),
        "tensor-parallel-size": planned.tensor_parallel_size,
        "gpu-memory-utilization": planned.gpu_memory_utilization,
        "max-model-len": planned.max_model_len,
        "max-num-seqs": service.max_num_seqs,
        "max-num-batched-tokens": service.max_num_batched_tokens,
        "kv-cache-dtype": service.kv_cache_dtype,
        "shutdown-timeout": service.shutdown_timeout,
        "disable-fastapi-docs": True,
    }
    values.update(planned.rope_arguments)
    for flag, stated in service.engine_args.items():
        planned_value = values.get(flag)
        if isinstance(stated, dict) and isinstance(planned_value, dict):
            values[flag] = {**planned_value, **stated}  # a user's hf-overrides add to the rope's
        else:
            values[flag] = stated
    return values


def config_text(values: Mapping[str, Any]) -> str:
    """The configuration file: YAML whose values are written as JSON, which every YAML parser reads.

    The standard library writes it; target hosts need no YAML package.
    """
    lines = ["# Written by llmops.inference from the plan of this generation; edits are replaced by the next run."]
    lines += [f"{flag}: {json.dumps(value, sort_keys=True)}" for flag, value in values.items()]
    return "\n".join(lines) + "\n"


def environment(service: Service, planned: PlannedService, engine: Engine) -> dict[str, str]:
    """The service's environment without its secrets.

    Caches live in a directory per service, because two engines that compile into one directory race; nothing is
    fetched from a hub at run time. The ranks of a service are on one host and meet on its loopback: left alone they
    meet on the first network interface, where the unit lets them reach nobody.
    """
    state, cache = f"/var/lib/vllm/services/{service.name}", f"/var/cache/vllm/{service.name}"
    variables = {
        "GLOO_SOCKET_IFNAME": "lo",
        "HOME": state,
        "HF_HOME": f"{cache}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "NCCL_SOCKET_IFNAME": "lo",
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "VLLM_CACHE_ROOT": f"{cache}/vllm",
        "VLLM_CONFIG_ROOT": f"{state}/config",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_LOGGING_COLOR": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if engine.accelerator == "cuda":
        variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(planned.devices)
    else:
        variables["CPU_VISIBLE_MEMORY_NODES"] = ",".join(str(index) for index in planned.device_indices)
    variables.update({name: str(value) for name, value in service.environment.items()})
    return variables
