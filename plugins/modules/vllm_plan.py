#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_plan
version_added: 1.0.0
short_description: Proves on paper that models fit a host's GPUs, or says in bytes why not
description:
  - Divides the memory of each device among the services that share it, so that every one starts, in order,
    and can restart while the others hold all of theirs.
  - Places services that do not name their GPUs, computes the longest context that fits, and the order of
    starts.
  - What cannot be is refused with its arithmetic and the nearest change that fits. A refusal does not fail
    the task, it is in RV(plan.refusals). A layout that makes no sense, or a model that cannot be read, does.
  - It reads the headers of the models' files, never their tensors, and changes nothing.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
  - llmops.inference.attributes.info_module
  - llmops.inference.layout
requirements:
  - Python >= 3.9
  - The Python package C(nvidia-ml-py), for the Python that runs the module or in O(tools_dir), with
    O(accelerator=cuda) and without O(topology).
options:
  topology:
    description:
      - The machine to plan for, as RV(llmops.inference.gpu_topology_info#module:topology) has it. The default
        is this one.
      - What was measured on this machine says nothing about another; with this option O(calibration) has no effect.
      - Of a GPU only C(index) and C(memory_total_bytes) must be given.
    type: dict
  used_by_others:
    description:
      - Bytes that are in use on a device and not by services of this collection, by UUID of the GPU or
        C(numa:K).
      - The default is what this host says; for a stated O(topology), its C(memory_used_bytes).
    type: dict
  tools_dir:
    description:
      - A virtual environment that holds C(nvidia-ml-py), looked at where the Python that runs the module has none.
    type: path
    default: /opt/vllm/tools
seealso:
  - module: llmops.inference.gpu_topology_info
  - module: llmops.inference.vllm_deployment
"""

EXAMPLES = r"""
---
- name: Plan two models on one GPU
  llmops.inference.vllm_plan:
    services:
      - name: mini
        model: /srv/models/Qwen3-8B
        port: 8002
        gpus: [2]
      - name: micro
        model: /srv/models/Qwen3-1.7B
        port: 8003
        gpus: [2]
  register: result

- name: Stop where it does not fit, and say why
  ansible.builtin.assert:
    that: result.plan.fits
    fail_msg: "{{ result.plan.refusals }}"

- name: Would a model that is not here fit two cards that are not here, and with which context?
  llmops.inference.vllm_plan:
    topology:
      gpus:
        - {index: 0, memory_total_bytes: 51527024640}
        - {index: 1, memory_total_bytes: 51527024640}
    services:
      - name: medium
        model: Qwen3-32B
        port: 8001
        gpus: {count: 2}
        rope: {factor: 4.0, original_max_position_embeddings: 32768}
        geometry:
          architecture: Qwen3ForCausalLM
          hidden_size: 5120
          num_hidden_layers: 64
          num_attention_heads: 64
          num_key_value_heads: 8
          head_dim: 128
          intermediate_size: 25600
          vocab_size: 151936
          max_position_embeddings: 40960
          rope_theta: 1000000
          dtype: bfloat16
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: The plan of the host.
  returned: success
  type: dict
  contains:
    schema:
      description: Version of this structure.
      returned: success
      type: int
      sample: 1
    fits:
      description: Whether everything fits, that is whether nothing was refused.
      returned: success
      type: bool
      sample: true
    accelerator:
      description: The accelerator planned for.
      returned: success
      type: str
      sample: cuda
    engine_version:
      description: The engine version planned for; V(null) where none was stated.
      returned: success
      type: str
      sample: 0.33.0
    gpu_memory_budget:
      description: The budget as stated.
      returned: success
      type: float
      sample: 0.99
    inputs_digest:
      description:
        - Digest of everything that user and hardware state, and of nothing that merely fluctuates.
        - Two plans with one digest differ at most by the memory that others used.
      returned: success
      type: str
      sample: 3b7c1f8a0d...
    services:
      description: The services that have a share, in start order.
      returned: success
      type: list
      elements: dict
      contains:
        name:
          description: Name of the service.
          returned: success
          type: str
          sample: mini
        model:
          description: Directory or name of the model.
          returned: success
          type: str
          sample: /srv/models/Qwen3-8B
        served_model_name:
          description: Name under which clients ask for the model.
          returned: success
          type: str
          sample: mini
        host:
          description: Address of the endpoint.
          returned: success
          type: str
          sample: 127.0.0.1
        port:
          description: Port of the endpoint.
          returned: success
          type: int
          sample: 8002
        devices:
          description: Its devices, by UUID or C(numa:K), rank 0 first.
          returned: success
          type: list
          elements: str
          sample: [GPU-5f3a8f0c-6d8e-4b1a-9f5e-0c2d7c1a2b3c]
        device_indices:
          description: Their indices.
          returned: success
          type: list
          elements: int
          sample: [2]
        tensor_parallel_size:
          description: Number of ranks.
          returned: success
          type: int
          sample: 1
        gpu_memory_utilization:
          description: Share of the total memory of each of its devices.
          returned: success
          type: float
          sample: 0.6654
        max_model_len:
          description: Longest context in tokens.
          returned: success
          type: int
          sample: 131072
        length_reason:
          description: Why this length, in bytes.
          returned: success
          type: str
          sample: "131072 tokens fit: one request takes 18.00 GiB of 32.98 GiB of cache."
        kv_cache_tokens:
          description: Tokens that the cache holds for all requests together.
          returned: success
          type: int
          sample: 240112
        kv_cache_dtype:
          description: Element type of the KV cache.
          returned: success
          type: str
          sample: auto
        kv_block_bytes:
          description: Bytes of one block of the cache on each of its devices.
          returned: success
          type: int
          sample: 2359296
        max_num_seqs:
          description: Requests at a time.
          returned: success
          type: int
          sample: 256
        max_num_batched_tokens:
          description: Tokens at a time.
          returned: success
          type: int
          sample: 8192
        start_order:
          description: Place in the order of starts, from 0.
          returned: success
          type: int
          sample: 1
        start_after:
          description: Services on its devices that must be ready before it starts.
          returned: success
          type: list
          elements: str
          sample: []
        memory:
          description:
            - Bytes on each of its devices, by component. C(context) and C(nccl) lie outside the share,
              C(weights), C(persistent), C(transient), C(graphs) and C(kv_cache) inside.
          returned: success
          type: dict
          sample:
            context: 751619276
            nccl: 0
            weights: 16381470720
            persistent: 536870912
            transient: 3221225472
            graphs: 1610612736
            kv_cache: 35410313216
        memory_source:
          description:
            - For each component whether it is C(exact), C(measured) or C(estimated).
            - What an engine does not tell apart when it is measured is in C(persistent).
          returned: success
          type: dict
          sample: {weights: exact, kv_cache: estimated, context: estimated}
        required_free_bytes:
          description: Bytes that must be free on each device before it starts.
          returned: success
          type: dict
          sample: {GPU-5f3a8f0c-6d8e-4b1a-9f5e-0c2d7c1a2b3c: 57909043200}
        rope_arguments:
          description: Flags of the engine that carry the rope; empty without one.
          returned: success
          type: dict
          sample: {}
        fingerprint:
          description: Digest of the model's files; V(null) for a model known by its geometry only.
          returned: success
          type: str
          sample: 9c1185a5c5...
        reason:
          description: Why these devices, in one sentence.
          returned: success
          type: str
          sample: "GPU 2: named in the layout."
        calibration_key:
          description:
            - Key under which its starts are recorded for O(calibration); V(null) where they are not, because model
              files or O(engine_version) are not known, because its GPUs may be of several kinds, or because it has a
              pipeline or several hosts.
          returned: success
          type: str
          sample: 0f61d1b6ac43e0f1c2a36b1f6ed0f3f5
        pipeline_parallel_size:
          description: Number of stages over which its layers are divided.
          returned: success
          type: int
          sample: 1
        nodes:
          description: Number of hosts that run it.
          returned: success
          type: int
          sample: 1
        node_rank:
          description: Which of them this host is, from 0.
          returned: success
          type: int
          sample: 0
    devices:
      description: All devices of the host, by index.
      returned: success
      type: list
      elements: dict
      contains:
        id:
          description: UUID of the GPU, or C(numa:K).
          returned: success
          type: str
          sample: GPU-5f3a8f0c-6d8e-4b1a-9f5e-0c2d7c1a2b3c
        index:
          description: Its index.
          returned: success
          type: int
          sample: 2
        name:
          description: Its product name.
          returned: success
          type: str
          sample: NVIDIA A100-SXM4-80GB
        total_bytes:
          description: Its memory, without what driver and firmware reserve.
          returned: success
          type: int
          sample: 85899345920
        committed_bytes:
          description: What our services have, contexts and communication buffers included.
          returned: success
          type: int
          sample: 85882166051
        reserve_bytes:
          description: What stays free, as stated.
          returned: success
          type: int
          sample: 0
        used_by_others_bytes:
          description: What others use, rounded up to 256 MiB.
          returned: success
          type: int
          sample: 0
        slack_bytes:
          description: What is left.
          returned: success
          type: int
          sample: 17179869
        budget:
          description: What the shares may sum to, after a clamp.
          returned: success
          type: float
          sample: 0.9824
        committed_share:
          description: What the shares sum to.
          returned: success
          type: float
          sample: 0.9823
        highest_share:
          description: The highest sum of shares with which all services here start.
          returned: success
          type: float
          sample: 0.9824
        services:
          description: Names of the services here, in start order.
          returned: success
          type: list
          elements: str
          sample: [mini, micro]
    warnings:
      description: What to know even where everything fits. Shown as warnings of the task, too.
      returned: success
      type: list
      elements: str
      sample: []
    notes:
      description:
        - What a reader of the plan should know where nothing is wrong.
        - The default budget that no card below 170 GiB starts with, memory shared with the host, virtual GPUs.
      returned: success
      type: list
      elements: str
      sample: []
    refusals:
      description: What cannot be.
      returned: success
      type: list
      elements: dict
      contains:
        service:
          description: Name of the service.
          returned: success
          type: str
          sample: micro
        reason:
          description: Why, in one sentence.
          returned: success
          type: str
          sample: GPU 2 has no room for it beside mini.
        arithmetic:
          description: The sum that says so.
          returned: success
          type: str
          sample: micro needs weights 3.20 GiB + ... = 8.64 GiB (9281456128 bytes); ...
        nearest_fit:
          description:
            - The nearest change that was planned and fits; V(null) where none of the kinds tried helps.
            - C(text) says it, C(services) has the keys to set by service, C(settings) those of the host.
          returned: success
          type: dict
          sample:
            text: Lower max_model_len of micro to 8192.
            services: {micro: {max_model_len: 8192}}
            settings: {}
        gate:
          description:
            - Which gate of the engine would stop it. V(1) where its share is not free on the device, V(2) where its
              share does not hold what it needs; V(null) where no engine would be asked.
          returned: success
          type: int
          sample: 1
        needed_bytes:
          description: Bytes that it takes of the device; V(null) where it is refused for another reason.
          returned: success
          type: int
          sample: 85890755952
        available_bytes:
          description: Bytes that there are for it; V(null) where it is refused for another reason.
          returned: success
          type: int
          sample: 85040352460
stays:
  description:
    - Whether this is the active plan of the host, which a deployment of the same layout keeps, whatever memory other
      processes have taken meanwhile. Always V(false) with O(topology) or O(used_by_others).
  returned: success
  type: bool
  sample: false
approval:
  description:
    - What stands for this plan in O(llmops.inference.vllm_deployment#module:approved_digest), with the layout, the
      models' files and the hardware that it was made for. No secret is part of it.
    - V(null) for a plan that does not fit.
  returned: success
  type: str
  sample: 4c1d...
topology:
  description: The machine that was planned for, as RV(llmops.inference.gpu_topology_info#module:topology) has it.
  returned: success
  type: dict
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._arguments import HOST_OPTIONS, PLAN_OPTIONS
from ansible_collections.llmops.inference.plugins.module_utils._deploy.active_plan import plan_of_this_host
from ansible_collections.llmops.inference.plugins.module_utils._deploy.inputs import read_machine, read_models
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._gpu.topology import Topology
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import RunCommand
from ansible_collections.llmops.inference.plugins.module_utils._plan.approval import approval
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout
from ansible_collections.llmops.inference.plugins.module_utils._plan.plan import Plan
from ansible_collections.llmops.inference.plugins.module_utils._plan.planner import inputs_digest

OPTIONS = {
    **PLAN_OPTIONS,
    "topology": {"type": "dict"},
    "used_by_others": {"type": "dict"},
    "tools_dir": HOST_OPTIONS["tools_dir"],
}


@dataclass(frozen=True)
class Planned:
    """A plan, the machine that it is for, whether it is the active one, and what stands for it in an approval."""

    plan: Plan
    topology: Topology
    stays: bool
    approval: str | None


def make_plan(params: Mapping[str, Any], run: RunCommand) -> Planned:
    """Return the plan that a deployment would carry out now: the active one where that stays, or a new one."""
    services = parse_layout(params["services"], params["accelerator"])
    models = read_models(services)
    ground = read_machine(params, run)
    stated = (services, ground.usable, models, ground.settings)
    elsewhere = params.get("topology") is not None or params.get("used_by_others") is not None
    active = None if elsewhere else plan_of_this_host(inputs_digest(*stated))
    made = active or ground.plan(services, models)
    return Planned(made, ground.topology, active is not None, approval(made, *stated) if made.fits else None)


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        made = make_plan(module.params, lambda command: module.run_command(list(command)))
    except InferenceError as error:
        module.fail_json(msg=str(error), **error.details)
    for warning in made.plan.warnings:
        module.warn(warning)
    module.exit_json(
        changed=False,
        plan=made.plan.to_dict(),
        topology=made.topology.to_dict(),
        stays=made.stays,
        approval=made.approval,
    )


if __name__ == "__main__":
    main()
