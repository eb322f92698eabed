#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_deployment_info
version_added: 1.0.0
short_description: Tells what is deployed on a host, how its services are, and what went wrong
description:
  - Returns the generations that the host keeps, the active plan, the state of every service, and its incidents.
  - Changes nothing. A host on which nothing was deployed is no error.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
  - llmops.inference.attributes.info_module
requirements:
  - Python >= 3.9
  - systemd, and root's rights.
options:
  measure:
    description: Ask every service for tokens and time them. Without it nothing is asked of the engines.
    type: bool
    default: true
  incidents_since:
    description:
      - How far back to look for incidents, as a number and one of C(m), C(h), C(d) and C(w), or C(@) and a Unix time.
      - Requests are counted by the hour, so that rates over less than a few hours say little.
    type: str
    default: 7d
  gate_timeout:
    description: Seconds in which a service must generate the tokens it is asked for.
    type: float
    default: 30
  tools_dir:
    description: A virtual environment that holds C(nvidia-ml-py).
    type: path
    default: /opt/vllm/tools
  user:
    description: The user as whom the services run.
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
seealso:
  - module: llmops.inference.vllm_deployment
"""

EXAMPLES = r"""
---
- name: Look at the services
  llmops.inference.vllm_deployment_info:
  register: found

- name: Stop where one does not generate
  ansible.builtin.assert:
    that: found.services | rejectattr('healthy') | length == 0
    fail_msg: "{{ found.services | rejectattr('healthy') | map(attribute='problem') }}"
"""

RETURN = r"""
generation:
  description: The active generation; V(null) where nothing is deployed.
  returned: success
  type: int
  sample: 7
generations:
  description: All generations that are kept, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    number:
      description: Its number.
      returned: success
      type: int
      sample: 6
    made:
      description: When it was written, in UTC; V(null) where its manifest cannot be read.
      returned: success
      type: str
      sample: "2026-11-23T10:42:07Z"
    replaces:
      description: The generation that was active when it was written; V(null) for the first.
      returned: success
      type: int
      sample: 5
    engine_version:
      description: The version of vLLM that it runs; V(null) where it does not say.
      returned: success
      type: str
      sample: 0.32.0
    programs:
      description: The programs outside itself that it runs, which must stay where they are.
      returned: success
      type: list
      elements: str
      sample: [/opt/vllm/0.32.0/bin/vllm, /opt/vllm/tools/bin/python]
    image:
      description: Podman's id of the image that it runs its engines from; V(null) where they are installed.
      returned: success
      type: str
      sample: null
    models:
      description: The directories of its models.
      returned: success
      type: list
      elements: str
      sample: [/var/lib/vllm/models/Qwen3-8B]
    services:
      description: Its services.
      returned: success
      type: list
      elements: str
      sample: [micro, mini]
    in_force:
      description: Whether it is active.
      returned: success
      type: bool
      sample: false
    served:
      description: Whether all its services have passed their gates; V(false) only while its own transaction is open.
      returned: success
      type: bool
      sample: true
    intact:
      description: Whether every file of it is as it was written, mode and owner included.
      returned: success
      type: bool
      sample: true
    problem:
      description: Why it could not become active now; V(null) where it could.
      returned: success
      type: str
      sample: null
transaction:
  description: The transaction that has begun and not ended; V(null) where there is none.
  returned: success
  type: dict
  contains:
    before:
      description: The generation that it came from; V(null) for nothing.
      returned: success
      type: int
      sample: 6
    after:
      description: The generation that it goes to.
      returned: success
      type: int
      sample: 7
    new:
      description: Whether that one was written by it, and is deleted if it does not serve.
      returned: success
      type: bool
      sample: true
    since:
      description: When it began, in the host's time.
      returned: success
      type: str
      sample: 2026-11-23 10:42:07 UTC
    by:
      description: Who asked for it.
      returned: success
      type: str
      sample: alice@controller (play 'Serve the layout of every host')
    holder:
      description: Who works on it at this moment; V(null) where it was interrupted, and the next run returns from it.
      returned: success
      type: str
      sample: alice@controller (play 'Serve the layout of every host'), process 4242, since 2026-11-23 10:42:07 UTC
plan:
  description: The active plan, as RV(llmops.inference.vllm_plan#module:plan) has it; V(null) without one.
  returned: success
  type: dict
services:
  description: Every service of the active generation, in start order, and any other that systemd still knows.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the service.
      returned: success
      type: str
      sample: mini
    address:
      description: Base address of its API on the host; V(null) for one that is not in the generation.
      returned: success
      type: str
      sample: http://127.0.0.1:8002/v1
    model:
      description: The name under which clients ask for the model.
      returned: success
      type: str
      sample: mini
    devices:
      description: Its devices, by UUID or C(numa:K).
      returned: success
      type: list
      elements: str
      sample: [GPU-a1f3c0de-0000-4000-8000-000000000002]
    device_indices:
      description: Their indices.
      returned: success
      type: list
      elements: int
      sample: [2]
    gpu_memory_utilization:
      description: Its share of the total memory of each device.
      returned: success
      type: float
      sample: 0.7012
    max_model_len:
      description: Longest context in tokens.
      returned: success
      type: int
      sample: 131072
    state:
      description: V(serving) where it generated the tokens that it was asked for, else the state of its unit.
      returned: success
      type: str
      sample: serving
    active:
      description: The state of its unit.
      returned: success
      type: str
      sample: active
    restarts:
      description: Automatic restarts since it served last, or was started by hand or by a deployment.
      returned: success
      type: int
      sample: 0
    main_pid:
      description: Its main process; 0 while there is none.
      returned: success
      type: int
      sample: 4242
    as_configured:
      description: Whether the running engine was started with the active configuration.
      returned: success
      type: bool
      sample: true
    healthy:
      description: Whether it generated the tokens that it was asked for; V(null) where O(measure=false).
      returned: success
      type: bool
      sample: true
    problem:
      description: What it answered instead; V(null) where it is healthy or was not asked.
      returned: success
      type: str
      sample: null
    first_token_seconds:
      description: Seconds until the first token of a short request; V(null) without one.
      returned: success
      type: float
      sample: 0.041
    tokens_per_second:
      description:
        - Tokens per second after the first of one request; V(null) without one.
        - V(null), too, where the tokens did not come one after the other; such a stream says nothing of the speed.
      returned: success
      type: float
      sample: 88.2
    predicted:
      description: What the active plan expects on each of its devices; V(null) for one that it does not have.
      returned: success
      type: dict
      contains:
        kv_cache_tokens:
          description: Tokens that the KV cache holds.
          returned: success
          type: int
          sample: 252832
        kv_cache_bytes:
          description: Bytes of the KV cache.
          returned: success
          type: int
          sample: 37281931052
        weights_bytes:
          description: Bytes of the weights.
          returned: success
          type: int
          sample: 16381470720
        outside_bytes:
          description: Bytes outside its share, that is of context and communication buffers.
          returned: success
          type: int
          sample: 751619276
    actual:
      description:
        - What it used since it last started, out of its journal and metrics.
        - V(null) for one that does not run, or not as configured.
      returned: success
      type: dict
      contains:
        kv_cache_tokens:
          description: Tokens that the KV cache holds, as the engine says; V(null) where its journal is gone.
          returned: success
          type: int
          sample: 251904
        kv_cache_bytes:
          description: Bytes of the KV cache; V(null) where neither journal nor metrics tell.
          returned: success
          type: int
          sample: 37144756224
        weights_bytes:
          description: Bytes of the weights as loaded; V(null) where the engine does not say, as on the CPU.
          returned: success
          type: int
          sample: 16384000000
        outside_bytes:
          description: Bytes outside its share when a deployment started it last; V(null) where that was not recorded.
          returned: success
          type: int
          sample: 601295421
incidents:
  description:
    - Every end of a service that nobody asked for, and trouble of GPUs, oldest first, out of journal and kernel log.
    - Starts that fail the same way one after the other are one incident.
    - The causes of the latest 30 ends are read from what the engine itself wrote, those of older ones from what systemd
      says.
  returned: success
  type: list
  elements: dict
  contains:
    time:
      description: When it happened, in UTC.
      returned: success
      type: str
      sample: "2026-11-23T22:04:18Z"
    service:
      description: The service that it hit; V(null) for trouble of a GPU that hit none.
      returned: success
      type: str
      sample: mini
    kind:
      description:
        - What it was. C(wedged), C(killed), C(worker_died), C(engine_dead), C(out_of_device_memory), C(host_oom_kill),
          C(device_lost) or C(xid) while it served.
        - Also C(port_taken), C(gpu_unfit), C(not_admitted), C(memory_share_too_large), C(no_room_for_kv_cache),
          C(memory_profiling), C(no_shared_memory), C(corrupt_weights), C(bad_configuration), C(file_access),
          C(no_container) or C(start_timeout) at a start.
        - C(engine_error) and C(unknown) for what has no name here.
      returned: success
      type: str
      sample: engine_dead
    line:
      description: The line of journal or kernel log that says so.
      returned: success
      type: str
      sample: "RuntimeError: Engine core process EngineCore died unexpectedly."
    remedy:
      description: The change that would help.
      returned: success
      type: str
      sample: see the lines before it in the journal
    serving:
      description: Whether the service served when it happened.
      returned: success
      type: bool
      sample: true
    restarts:
      description: How often systemd started it again for this incident.
      returned: success
      type: int
      sample: 1
    lost_seconds:
      description: Seconds until it served again; V(null) where it does not, was stopped meanwhile, or was not hit.
      returned: success
      type: float
      sample: 41.2
    invocation:
      description: systemd's id of the start that ended, for C(journalctl _SYSTEMD_INVOCATION_ID=).
      returned: success
      type: str
      sample: 2f6a3c1e9b0d4d7f8a5b6c7d8e9f0a1b
    gpu:
      description: PCI address of the GPU that the line names; V(null) where it names none.
      returned: success
      type: str
      sample: "0000:3b:00"
incident_gaps:
  description:
    - Sentences about incidents that the journal of the host cannot report. It may begin after O(incidents_since),
      be kept in memory only, or have dropped lines of a unit that wrote too many. Counts are then lower bounds.
  returned: success
  type: list
  elements: str
  sample: ["the journal begins at 2026-11-23T15:22:32Z: counts are a lower bound"]
incident_rates:
  description: How often the services of the active generation had incidents.
  returned: success
  type: list
  elements: dict
  contains:
    service:
      description: Name of the service.
      returned: success
      type: str
      sample: mini
    incidents:
      description: Its incidents in the window.
      returned: success
      type: int
      sample: 1
    days:
      description:
        - The window in days, from O(incidents_since), the first line of the journal or the first start of the service,
          whichever is the latest.
      returned: success
      type: float
      sample: 7.0
    per_day:
      description: Incidents per day; V(null) for a window below one hour.
      returned: success
      type: float
      sample: 0.14
    requests:
      description: Requests finished in the window, as the watchdog counted them without its own; V(null) without one.
      returned: success
      type: int
      sample: 48210
    per_1000_requests:
      description: Incidents per 1000 finished requests; V(null) below 100 of them.
      returned: success
      type: float
      sample: 0.021
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._arguments import HOST_OPTIONS
from ansible_collections.llmops.inference.plugins.module_utils._deploy.host import Host
from ansible_collections.llmops.inference.plugins.module_utils._deploy.status import describe
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError, NotInstalledError

OPTIONS = {
    **HOST_OPTIONS,
    "measure": {"type": "bool", "default": True},
    "incidents_since": {"type": "str", "default": "7d"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        host = Host(module.params, lambda command: module.run_command(list(command), expand_user_and_vars=False))
        result = describe(host, module.params["measure"], module.params["incidents_since"])
    except NotInstalledError:
        empty: dict[str, list[object]] = {"generations": [], "services": [], "incidents": [], "incident_rates": []}
        empty["incident_gaps"] = []
        result = {"generation": None, "transaction": None, "plan": None, **empty}
    except InferenceError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
