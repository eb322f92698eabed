# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One planned service -> the engine's configuration file and environment, for the installed engine version. Pure."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .._engine.installed import Engine
from .._errors import InferenceError
from .._plan.engine_versions import behaviour
from .._plan.layout import Service
from .._plan.multi_node import MultiNode
from .._plan.plan import PlannedService
from .._service.ticket import socket_path
from .._values import canonical_number


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
    if service.multi_node and service.multi_node.executor == "mp" and "nnodes" not in engine.flags:
        raise InferenceError(
            f"service '{service.name}': hosts: {engine.distribution} {engine.version} has no flag 'nnodes', so that it "
            "cannot run on several hosts by itself; install a version that has, or state executor: ray",
            service=service.name,
            flag="nnodes",
        )
    if service.multi_node and service.multi_node.executor == "ray" and engine.ray is None:
        raise InferenceError(
            f"service '{service.name}': executor: ray: {engine.directory} has no Ray; state its version as "
            "vllm_runtime_ray_version, or leave executor out",
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


def check_architecture(service: Service, architecture: str, engine: Engine) -> None:
    """Refuse a model class that the installed engine does not run; InferenceError names the nearest ones.

    An engine whose record does not tell, and a model that brings its own code, pass.
    """
    brings_code = service.engine_args.get("trust-remote-code") is True
    if not engine.architectures or architecture in engine.architectures or brings_code:
        return
    near = difflib.get_close_matches(architecture, sorted(engine.architectures), n=3, cutoff=0.6)
    hint = f"nearest: {', '.join(near)}" if near else "no name is similar"
    raise InferenceError(
        f"service '{service.name}': {engine.distribution} {engine.version} does not run the architecture "
        f"'{architecture}' ({hint}); install a newer engine, or choose another model",
        service=service.name,
        architecture=architecture,
    )


def config(service: Service, planned: PlannedService, engine: Engine) -> dict[str, Any]:
    """The engine's configuration as a mapping of flag names, in the order of the file.

    ``planned`` gives the numbers that the plan decided: share (fraction of the device's total memory), context
    length (tokens), tensor-parallel size. What an engine of that version does not know is left out.
    """
    drains = behaviour(engine.version).shutdown_timeout
    values: dict[str, Any] = {
        "model": service.model,
        "served-model-name": [service.served_model_name],
        **_listening(service),
        "tensor-parallel-size": planned.tensor_parallel_size,
        **({"pipeline-parallel-size": service.pipeline_parallel_size} if service.pipeline_parallel_size > 1 else {}),
        **_executor(service.multi_node),
        "gpu-memory-utilization": planned.gpu_memory_utilization,
        "max-model-len": planned.max_model_len,
        "max-num-seqs": service.max_num_seqs,
        "max-num-batched-tokens": service.max_num_batched_tokens,
        "kv-cache-dtype": service.kv_cache_dtype,
        **({"shutdown-timeout": service.shutdown_timeout} if drains else {}),
        "disable-fastapi-docs": True,
    }
    values.update(planned.rope_arguments)
    for flag, stated in service.engine_args.items():
        planned_value = values.get(flag)
        if isinstance(stated, dict) and isinstance(planned_value, dict):
            values[flag] = {**planned_value, **stated}  # a user's hf-overrides add to the rope's
        else:
            values[flag] = canonical_number(stated) if flag in engine.numbers else stated
    return values


def _listening(service: Service) -> dict[str, Any]:
    """Where the engine answers requests; of several hosts the first alone does."""
    if service.multi_node and service.multi_node.executor == "mp" and not service.multi_node.leads:
        return {"headless": True}
    return {"host": service.host, "port": service.port} if service.port else {"uds": socket_path(service.name)}


def _executor(group: MultiNode | None) -> dict[str, Any]:
    """How the engine gets at ranks on other hosts."""
    if group is None:
        return {}
    if group.executor == "ray":
        return {"distributed-executor-backend": "ray"}
    return {
        "distributed-executor-backend": "mp",
        "nnodes": group.nodes,
        "node-rank": group.node_rank,
        "master-addr": group.leader,
        "master-port": group.master_port,
    }


# Of the configuration, what the hosts of one service may have differently; the model is compared by its files.
_PER_HOST = ("model", "headless", "host", "port", "node-rank", "gpu-memory-utilization")


def common_digest(values: Mapping[str, Any], engine: Engine) -> str:
    """Return a digest of what the engines of all hosts of a service have in common."""
    common = {key: value for key, value in values.items() if key not in _PER_HOST}
    return hashlib.sha256(json.dumps([engine.version, common], sort_keys=True).encode()).hexdigest()


def _visible(planned: PlannedService, engine: Engine) -> Sequence[str]:
    """Return the GPUs of a service as its engine takes them: by UUID, or by place where it reads numbers alone.

    A unit may open the nodes of its own GPUs only, and CUDA counts those that it can open, by PCI address.
    """
    if behaviour(engine.version).device_uuids:
        return planned.devices
    return [str(place) for place in range(len(planned.devices))]


def config_text(values: Mapping[str, Any]) -> str:
    """The configuration file: YAML whose values are written as JSON, which every YAML parser reads.

    The standard library writes it; target hosts need no YAML package.
    """
    lines = ["# Written by llmops.inference from the plan of this generation; edits are replaced by the next run."]
    lines += [f"{flag}: {json.dumps(value, sort_keys=True)}" for flag, value in values.items()]
    return "\n".join(lines) + "\n"


def engine_environment(
    service: Service, planned: PlannedService, engine: Engine, interfaces: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The service's environment without its secrets; ``interfaces`` are the host's, by address.

    Caches live in a directory per service, because two engines that compile into one directory race; nothing is
    fetched from a hub at run time. The ranks of a service on one host meet on its loopback: left alone they meet on the
    first network interface, where the unit lets them reach nobody. Those on several hosts meet on the interconnect.
    """
    interface, address = _meeting_place(service, interfaces or {})
    state, cache = f"/var/lib/vllm/services/{service.name}", f"/var/cache/vllm/{service.name}"
    variables = {
        "GLOO_SOCKET_IFNAME": interface,
        "HOME": state,
        "HF_HOME": f"{cache}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "NCCL_SOCKET_IFNAME": interface,
        "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor",
        "TRITON_CACHE_DIR": f"{cache}/triton",
        "VLLM_CACHE_ROOT": f"{cache}/vllm",
        "VLLM_CONFIG_ROOT": f"{state}/config",
        "VLLM_HOST_IP": address,
        "VLLM_LOGGING_COLOR": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if service.multi_node and service.multi_node.executor == "ray":
        variables["RAY_ADDRESS"] = f"{service.multi_node.leader}:{service.multi_node.master_port}"
    if engine.accelerator == "cuda":
        variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(_visible(planned, engine))
    else:
        variables["CPU_VISIBLE_MEMORY_NODES"] = ",".join(str(index) for index in planned.device_indices)
    variables.update({name: str(value) for name, value in service.environment.items()})
    return variables


def _meeting_place(service: Service, interfaces: Mapping[str, str]) -> tuple[str, str]:
    """Return the network interface and the address at which the ranks of a service meet."""
    if service.multi_node is None:
        return "lo", "127.0.0.1"
    address = service.multi_node.address
    if address not in interfaces:
        raise InferenceError(
            f"service '{service.name}': no network interface of this host has {address}, at which the service's other "
            f"hosts are to reach it (it has {', '.join(sorted(interfaces)) or 'none'}); correct "
            "vllm_services_interconnect_address",
            service=service.name,
        )
    return interfaces[address], address
