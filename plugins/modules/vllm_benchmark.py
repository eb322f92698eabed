#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_benchmark
version_added: 1.0.0
short_description: Measures the services of a host under load
description:
  - Drives load at services of the active generation with the engine's own C(vllm bench serve), and returns what every
    request took, what the engine counted, what the devices held, and what went wrong meanwhile.
  - Runs on the host of the services. The load generator is of the engine that the generation runs; it is a transient
    unit of the services' unprivileged user, reads the model's tokenizer from its directory, and reaches no network but
    the service.
  - No address can be stated but that of a gateway. Whatever else is asked is a service of the host's generation.
  - Services are measured one after another, each in a run of its own; under V(mixed), or with O(load.together), all of
    them at once, in one run.
  - Prompts are random tokens that follow from O(seed). The same seed asks the same again, and finds nothing of it in
    the engine's prefix cache.
  - A deployment and a measurement of one host exclude each other.
  - What is measured is asked of the engine for real. Clients of the services notice.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
attributes:
  check_mode:
    support: full
    details:
      - Checks what is asked for, drives no load and returns no result.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - This module never reports a change.
requirements:
  - Python >= 3.9
  - systemd, and root's rights.
options:
  services:
    description: The services to measure, by name. The default is all of the active generation, in start order.
    type: list
    elements: str
    default: []
  scenario:
    description:
      - What to ask. O(load) changes any number of it.
      - V(standard) is a short chat, 128 tokens in and 64 out, 4 at a time, 100 requests or two minutes.
      - V(long_context) fills 90 % of the service's C(max_model_len) with the prompt, one at a time, 8 requests or five
        minutes.
      - V(burst) sends 64 requests of the standard kind at once, and 64 more as they end.
      - V(soak) sends one request of the standard kind per second for ten minutes, whatever comes back.
      - V(mixed) is V(standard) for all services at once.
    type: str
    choices: [standard, long_context, burst, soak, mixed]
    default: standard
  load:
    description: What differs from the scenario's own numbers.
    type: dict
    default: {}
    suboptions:
      input_tokens:
        description: Tokens of each prompt.
        type: int
      context_share:
        description: In place of O(load.input_tokens), the part of C(max_model_len) that prompt and answer fill.
        type: float
      output_tokens:
        description: Tokens of each answer, all of which are always generated.
        type: int
      concurrency:
        description: The most requests in flight. Without O(load.requests_per_second) so many are kept in flight.
        type: int
      requests_per_second:
        description: Sends so many per second on average, at random moments, whatever comes back (an open loop).
        type: float
      requests:
        description: The most requests.
        type: int
      seconds:
        description:
          - About how long the load may last. Fewer requests are sent where the warm-up says that they take longer.
          - A measurement that takes three times as long and a minute is ended and fails.
        type: int
      warmup_requests:
        description: Requests of the same shape before the measurement, of which nothing is told.
        type: int
      together:
        description:
          - Whether all services are under load at once, which makes one run of them. The default is V(true) under
            V(mixed) only.
        type: bool
  seed:
    description: Seed of the prompts and, with O(load.requests_per_second), of the moments at which they are sent.
    type: int
    default: 0
  quality:
    description:
      - Whether to ask each service, after its load, for greedy answers to fixed prompts and for the perplexity of a
        reference text at a short and a long context, from the engine's C(prompt_logprobs).
      - For these an engine may hold the logits of C(max_num_batched_tokens) tokens at once, 7 GiB with 8192 tokens and
        the vocabulary of Qwen3, which no plan provides for. Where the device has not that much free, the text is not
        asked for, and a warning says so.
    type: bool
    default: false
  gateway:
    description: Drives the load through a gateway, as clients do. Memory and metrics remain those of this host.
    type: dict
    suboptions:
      address:
        description: Its base URL without a path, such as V(https://10.0.0.5:8443).
        type: str
        required: true
      api_key:
        description: A key that it lets in.
        type: str
      validate_certs:
        description: Whether its certificate must be valid for this host.
        type: bool
        default: true
  side:
    description: Written into the results; in a comparison, what is deployed.
    type: str
    choices: [before, after]
  round:
    description: Written into the results; the two runs of a comparison's round are made one after the other.
    type: int
  profile:
    description: Written into the results; the profile that is deployed.
    type: str
  host_name:
    description: Written into the results; what the inventory calls the host. The default is its own name.
    type: str
  gate_timeout:
    description: Seconds in which a service must generate a token before anything is measured.
    type: float
    default: 30
  tools_dir:
    description: A virtual environment that holds C(nvidia-ml-py).
    type: path
    default: /opt/vllm/tools
  user:
    description: The user as whom the services run, and the load generator.
    type: str
    default: vllm
  group:
    description: The group of the services.
    type: str
    default: vllm
  engine_root:
    description: Where engines are installed, one directory per version.
    type: path
    default: /opt/vllm
  requested_by:
    description: Who measures, for anyone who is kept waiting. The action plugin sets it.
    type: str
  detach:
    description: Whether to leave the measurement to a process of its own. The action plugin sets and follows it.
    type: bool
    default: false
seealso:
  - module: llmops.inference.vllm_deployment
  - plugin: llmops.inference.result_report
    plugin_type: filter
  - plugin: llmops.inference.result_history
    plugin_type: lookup
"""

EXAMPLES = r"""
---
- name: Measure every service with short chats
  llmops.inference.vllm_benchmark:
  register: measured

- name: Measure one with few but long prompts, and how good its answers are
  llmops.inference.vllm_benchmark:
    services: [mini]
    scenario: long_context
    load: {requests: 4}
    quality: true
  register: measured

- name: Judge what was measured
  ansible.builtin.debug:
    msg: "{{ measured.results | llmops.inference.result_report | llmops.inference.report_table }}"
"""

RETURN = r"""
results:
  description:
    - The runs, each as C(docs/schemas/result.schema.json) describes it, in the order in which they were made. One per
      service, or one for all of them under V(mixed).
  returned: success, empty in check mode
  type: list
  elements: dict
job:
  description: Where the measurement on the host leaves its progress and result.
  returned: when O(detach=true)
  type: dict
  sample: {directory: /run/llmops-inference/job-4242-1}
holder:
  description: Who deploys or measures on the host at this moment.
  returned: when another run is under way
  type: str
  sample: alice@controller (play 'Serve the layout of every host'), process 4242, since 2026-11-23 10:42:07 UTC
service:
  description: The service that cannot be measured.
  returned: when one cannot
  type: str
  sample: mini
"""

from contextlib import nullcontext
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._arguments import HOST_OPTIONS
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.measurement import Measurement, clean_up
from ansible_collections.llmops.inference.plugins.module_utils._benchmark.result import SCENARIO_NAMES, SIDES
from ansible_collections.llmops.inference.plugins.module_utils._deploy.host import Host
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.module_utils._host.job import detach
from ansible_collections.llmops.inference.plugins.module_utils._host.lock import locked
from ansible_collections.llmops.inference.plugins.module_utils._host.systemd import RunCommand

OPTIONS = {
    **HOST_OPTIONS,
    "services": {"type": "list", "elements": "str", "default": []},
    "scenario": {"type": "str", "default": "standard", "choices": list(SCENARIO_NAMES)},
    "load": {
        "type": "dict",
        "default": {},
        "options": {
            "input_tokens": {"type": "int", "no_log": False},
            "context_share": {"type": "float"},
            "output_tokens": {"type": "int", "no_log": False},
            "concurrency": {"type": "int"},
            "requests_per_second": {"type": "float"},
            "requests": {"type": "int"},
            "seconds": {"type": "int"},
            "warmup_requests": {"type": "int"},
            "together": {"type": "bool"},
        },
    },
    "seed": {"type": "int", "default": 0},
    "quality": {"type": "bool", "default": False},
    "gateway": {
        "type": "dict",
        "options": {
            "address": {"type": "str", "required": True},
            "api_key": {"type": "str", "no_log": True},
            "validate_certs": {"type": "bool", "default": True},
        },
    },
    "side": {"type": "str", "choices": list(SIDES)},
    "round": {"type": "int"},
    "profile": {"type": "str"},
    "host_name": {"type": "str"},
    "requested_by": {"type": "str"},
    "detach": {"type": "bool", "default": False},
}


def measure(module: AnsibleModule, run: RunCommand) -> dict[str, Any]:
    """Return the module's result, or where a process of its own will leave it."""
    by = f"{module.params['requested_by'] or 'somebody'}, measuring"
    with nullcontext() if module.check_mode else locked(by) as lock:
        measurement = Measurement(Host(module.params, run).store, module.params, run)
        if lock is None:
            return {"results": []}
        if module.params["detach"]:
            return {"job": detach(lock, measurement.drive, lambda report: clean_up(run), _killed)}
        return measurement.drive(lambda service, text: None)


def _killed(how: str, outcome: object) -> str:
    return f"the measurement {how}; its load was ended, and nothing of it is kept: run again"


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        result = measure(module, lambda command: module.run_command(list(command), expand_user_and_vars=False))
    except InferenceError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**{"changed": False, **result})


if __name__ == "__main__":
    main()
