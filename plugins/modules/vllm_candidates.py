#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_candidates
version_added: 1.0.0
short_description: Lists layouts around one that would fit a host's GPUs
description:
  - Draws combinations of values for some keys of a layout's services, plans each like M(llmops.inference.vllm_plan),
    and returns those that fit. What the plan refuses is never returned.
  - Combinations that lead to the same shares, lengths and limits are one.
  - The same layout, space, O(seed) and host give the same candidates. It changes nothing.
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
    O(accelerator=cuda).
options:
  space:
    description:
      - Values to try, by service and key, the key being C(max_num_seqs), C(max_num_batched_tokens), C(kv_cache_dtype),
        C(memory_weight) or C(max_model_len).
      - The default lies around the layout, with a quarter to four times of its C(max_num_seqs) and
        C(max_num_batched_tokens), on GPUs also a KV cache of eight bits, and half and twice the C(memory_weight) of
        services that share a device. The context stays as it is, because no benchmark can tell how much is needed.
    type: dict
    default: {}
  most:
    description: The most candidates to return, the layout itself included.
    type: int
    default: 8
  seed:
    description: Seed of the draws.
    type: int
    default: 0
  tools_dir:
    description:
      - A virtual environment that holds C(nvidia-ml-py), looked at where the Python that runs the module has none.
    type: path
    default: /opt/vllm/tools
seealso:
  - module: llmops.inference.vllm_plan
"""

EXAMPLES = r"""
---
- name: Which layouts would fit with more or fewer requests at a time?
  llmops.inference.vllm_candidates:
    services:
      - {name: mini, model: /srv/models/Qwen3-8B, port: 8002, gpus: [2]}
    space:
      mini: {max_num_seqs: [32, 64, 128, 256], kv_cache_dtype: [auto, fp8]}
  register: found
"""

RETURN = r"""
candidates:
  description: Layouts that fit; the first is the stated one, where that fits.
  returned: success
  type: list
  elements: dict
  contains:
    changes:
      description: By service, the keys that differ from the stated layout.
      returned: success
      type: dict
      sample: {mini: {max_num_seqs: 64}}
    services:
      description: Each service as planned, with its share, length and limits.
      returned: success
      type: list
      elements: dict
      sample:
        - name: mini
          gpu_memory_utilization: 0.6654
          max_model_len: 131072
          kv_cache_dtype: auto
          kv_cache_tokens: 240112
          max_num_seqs: 64
          max_num_batched_tokens: 8192
start_fits:
  description: Whether the stated layout fits, and is the first candidate.
  returned: success
  type: bool
  sample: true
combinations:
  description: How many combinations the space has.
  returned: success
  type: int
  sample: 8
drawn:
  description: How many of them were planned.
  returned: success
  type: int
  sample: 7
refused:
  description: How many of those the plan refused.
  returned: success
  type: int
  sample: 2
refusal:
  description: Why one was refused; V(null) where none was.
  returned: success
  type: str
  sample: "mini: GPU 2 has no room for it within the budget 0.99."
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._arguments import HOST_OPTIONS, PLAN_OPTIONS
from ansible_collections.llmops.inference.plugins.module_utils._deploy.inputs import read_machine, read_models
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import RunCommand
from ansible_collections.llmops.inference.plugins.module_utils._plan.candidates import (
    FoundCandidates,
    default_space,
    find_candidates,
    planner,
    read_space,
)
from ansible_collections.llmops.inference.plugins.module_utils._plan.layout import parse_layout

OPTIONS = {
    **PLAN_OPTIONS,
    "space": {"type": "dict", "default": {}},
    "most": {"type": "int", "default": 8},
    "seed": {"type": "int", "default": 0},
    "tools_dir": HOST_OPTIONS["tools_dir"],
}


def search(params: Mapping[str, Any], run: RunCommand) -> FoundCandidates:
    if params["most"] < 1:
        raise InferenceError(f"most is {params['most']}; at least 1 is expected.")
    layout, accelerator = params["services"], params["accelerator"]
    services = parse_layout(layout, accelerator)
    models = read_models(services)
    ground = read_machine(params, run)
    attempt = planner(lambda changed: ground.plan(changed, models, suggest=False), accelerator)
    space = read_space(params["space"], services) or default_space(services, attempt(layout), accelerator)
    return find_candidates(layout, space, attempt, params["most"], params["seed"])


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        found = search(module.params, lambda command: module.run_command(list(command)))
    except InferenceError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(
        changed=False, **{**vars(found), "candidates": [candidate.to_dict() for candidate in found.candidates]}
    )


if __name__ == "__main__":
    main()
