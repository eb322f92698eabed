#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_fits
version_added: 1.1.0
short_description: Says whether a model fits some graphics cards, without either of them
description:
  - Plans one model on cards that are named, as M(llmops.inference.vllm_plan) plans it on a host that has them.
  - Reads the shape of the model from a directory, from a C(config.json) alone, or from a hub. Of a hub it reads
    C(config.json), the index and the headers of the safetensors files. It downloads no weights and keeps nothing.
  - Returns the plan, the longest context by number of users, and how to run the model.
  - Runs on the controller and contacts no host. It changes nothing but the files O(page_file) and O(answer_file).
  - A model that does not fit does not fail the task; RV(fits) tells.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  model:
    description:
      - A model directory, the path of a C(config.json), or the name of a model on a hub, such as V(Qwen/Qwen3-8B) or
        V(Qwen/Qwen3-8B@main).
      - Where no weights are beside the C(config.json), their size follows from it and is called an estimate.
      - The hub is that of the environment variable E(HF_ENDPOINT), else V(https://huggingface.co). E(HF_TOKEN) and the
        other variables of the hub's own tools are honoured. No other server gets the token.
    type: str
    required: true
  gpu:
    description:
      - The cards of one host, such as V(2 x RTX 4090) or V(2 x RTX 4090, 1 x RTX 3090).
      - Their memory is in a table of the collection. Another card needs O(gpu_memory).
    type: str
    required: true
  gpu_memory:
    description: Memory of each card as C(nvidia-smi) shows it, such as V(24564MiB), V(24GiB) or a number of bytes.
    type: str
  nvlink:
    description:
      - Whether an NVLink bridge joins each pair of neighbouring cards that can have one.
      - Cards on a board with NVLink switches have it always.
    type: bool
    default: false
  users:
    description:
      - Requests at a time. O(max_num_seqs) follows from it, and the context is the longest that all of them can have.
      - Without it, the context is the longest for one user, and the engine works on up to 256 requests at a time.
    type: int
  tensor_parallel_size:
    description: Cards over which the model is divided. The default is as many as it fits on.
    type: int
  max_model_len:
    description: Longest context in tokens. The default is the longest that fits.
    type: raw
  kv_cache_dtype:
    description: As O(llmops.inference.vllm_plan#module:services[].kv_cache_dtype).
    type: str
  max_num_seqs:
    description: As O(llmops.inference.vllm_plan#module:services[].max_num_seqs).
    type: int
  max_num_batched_tokens:
    description: As O(llmops.inference.vllm_plan#module:services[].max_num_batched_tokens).
    type: int
  gpu_memory_utilization:
    description: As O(llmops.inference.vllm_plan#module:services[].gpu_memory_utilization).
    type: float
  rope:
    description: As O(llmops.inference.vllm_plan#module:services[].rope).
    type: dict
  engine_args:
    description: As O(llmops.inference.vllm_plan#module:services[].engine_args).
    type: dict
  engine_version:
    description: As O(llmops.inference.vllm_plan#module:engine_version).
    type: str
  gpu_memory_budget:
    description: As O(llmops.inference.vllm_plan#module:gpu_memory_budget).
    type: float
    default: 0.99
  reserve_bytes:
    description: Bytes that stay free on each card, for a desktop for example.
    type: int
    default: 0
  geometry:
    description:
      - Keys of C(config.json) that replace those of the model, and C(weights_bytes), C(parameters) or
        C(kv_bytes_per_token) where a C(config.json) does not tell.
    type: dict
    default: {}
  hub_timeout:
    description: Seconds that a hub has to answer, all requests together.
    type: float
    default: 60
  page_file:
    description: File on the controller for the plan as a page with pictures.
    type: path
  answer_file:
    description: File on the controller for the whole answer as JSON.
    type: path
seealso:
  - module: llmops.inference.vllm_plan
"""

EXAMPLES = r"""
---
- name: Does a model of the hub fit two cards, for eight users at a time?
  llmops.inference.vllm_fits:
    model: Qwen/Qwen3-32B-AWQ
    gpu: 2 x RTX 4090
    users: 8
  register: answer

- name: Show the answer
  ansible.builtin.debug:
    msg: "{{ answer.lines }}"
"""

RETURN = r"""
fits:
  description: Whether the model fits.
  returned: success
  type: bool
  sample: true
question:
  description: The question in words.
  returned: success
  type: str
  sample: Qwen/Qwen3-32B-AWQ on 2 x RTX 4090
model:
  description:
    - The model that was read. C(source) is C(directory), C(config) or C(hub); C(revision) is the commit on the hub.
    - C(weights) is C(exact) where the headers were read and C(estimated) where C(note) says why not.
  returned: success
  type: dict
  sample:
    stated: Qwen/Qwen3-32B-AWQ
    source: hub
    revision: 0123456789abcdef0123456789abcdef01234567
    architecture: Qwen3ForCausalLM
    weights: exact
    note: null
cards:
  description: The cards, in the order of O(gpu), with the sources of their memory.
  returned: success
  type: list
  elements: dict
  sample:
    - label: RTX 4090
      name: NVIDIA GeForce RTX 4090
      memory_total_bytes: 25757220864
      memory_total_source: published
      memory_reserved_bytes: 513802240
      memory_reserved_source: published
      compute_capability: "8.9"
      unified_memory: false
fewest_cards:
  description: The fewest of the cards on which the model starts; V(null) where it fits on none.
  returned: success
  type: int
  sample: 1
contexts:
  description: The longest context in tokens that each of so many users can have at the same time.
  returned: success
  type: list
  elements: dict
  sample:
    - {users: 1, max_model_len: 40960}
    - {users: 16, max_model_len: 9920}
plan:
  description: The plan, as RV(llmops.inference.vllm_plan#module:plan) has it.
  returned: success
  type: dict
topology:
  description: The machine that was planned for, as RV(llmops.inference.vllm_plan#module:topology) has it.
  returned: success
  type: dict
layout:
  description: The layout that runs the model as planned; empty where it does not fit.
  returned: success
  type: list
  elements: dict
command:
  description: The command that runs the model by hand as planned; empty where it does not fit.
  returned: success
  type: str
  sample: vllm serve Qwen/Qwen3-32B-AWQ --tensor-parallel-size 2 --gpu-memory-utilization 0.8527
lines:
  description: The answer for a terminal, without the tables of the plan.
  returned: success
  type: list
  elements: str
"""
