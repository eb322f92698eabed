#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_deployment
version_added: 1.0.0
short_description: Deploys a layout of vLLM services on a host, as one transaction
description:
  - Plans the layout like M(llmops.inference.vllm_plan), writes the configuration as a numbered generation, puts it in
    force, stops and starts only what changed, in the plan's order, and waits until every service has generated a token.
  - A service that fails its gate fails the task with the cause from its journal, and the generation before serves
    again. What cannot fit, or is wrong in the layout, is refused before anything changes.
  - A plan that is active stays while the layout and the hardware are the same, whatever memory other processes take
    meanwhile. Then nothing is restarted, and every service is asked for a token.
  - The transaction runs in a process of its own on the host, and ends in one generation or the other also when the
    connection or the play is lost. Its progress is shown while it runs. Where that process is killed, or the host with
    it, the last generation that served is put back, by the process that watches it, at boot, or by the next run.
  - One run at a time deploys on a host. A second one is refused, and told who the first is.
  - What was changed by hand, be it a file of the active generation with its mode and owner, a link to a unit, or the
    link to the generation, is put back; services that need no restart for it get none.
author:
  - The llmops.inference maintainers (@llmops)
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
  - llmops.inference.layout
attributes:
  check_mode:
    support: full
    description: Says what would change. On a host without an engine it can only say that everything would.
  diff_mode:
    support: full
    description: Shows the changed files of the generation, the plan and the units included, secrets excepted.
  idempotent:
    support: full
    description: Without a change in layout, engine or hardware, and with all services healthy, nothing is done.
requirements:
  - Python >= 3.9
  - systemd 247 or newer, and root's rights.
  - An engine installed by the role P(llmops.inference.vllm_runtime#role).
  - For O(image), Podman 5.3 or newer and systemd 253 or newer.
options:
  state:
    description:
      - V(present) deploys the layout; services that are no longer in it are stopped and deleted.
      - V(rolled_back) returns to a generation that the host keeps, its engine version, units and code included, through
        the same stops, starts and gates. Where it does not serve, the one that was active serves again. What was
        kept stays; the next V(present) writes a new generation.
      - V(absent) stops all services and deletes units and generations. Engines, models and caches stay, except for
        what O(remove_engines) says.
    type: str
    choices: [present, rolled_back, absent]
    default: present
  generation:
    description:
      - For O(state=rolled_back), the number of the generation to return to.
      - The default is the one that served before the active generation. On a host that was returned already, and not
        deployed to since, that is the active generation, so that running twice returns once.
      - One whose files are not as they were written, or whose engine or models are gone, is refused before anything
        stops.
    type: int
  engine_root:
    description: Where engines are installed, one directory per version.
    type: path
    default: /opt/vllm
  image:
    description:
      - The image that holds the engine, pinned by its digest (C(NAME@sha256:DIGEST)), which the role
        P(llmops.inference.vllm_runtime#role) has brought to the host. Every service is then a container, described by a
        Podman Quadlet, C(/etc/containers/systemd/vllm@NAME.container). Units, gate, generations and watchdog are the
        same.
      - Without it, services run the engine that is installed in O(engine_root).
      - GPUs are handed to containers by the Container Device Interface, C(nvidia.com/gpu=UUID), for which the host
        needs a specification by C(nvidia-ctk cdi generate).
    type: str
  tools_dir:
    description: A virtual environment that holds C(nvidia-ml-py), which the units use as well.
    type: path
    default: /opt/vllm/tools
  user:
    description: The user as whom the services run.
    type: str
    default: vllm
  group:
    description: The group of the services, which may read their configuration.
    type: str
    default: vllm
  gate_timeout:
    description: Seconds in which a service that listens must generate the tokens it is asked for.
    type: float
    default: 30
  keep_generations:
    description:
      - How many generations to keep, the active generation included; the one that served before it is always kept.
    type: int
    default: 5
  restart:
    description:
      - Services that start again even though nothing of theirs changed here. Those that run on several hosts have to
        when they do on any.
    type: list
    elements: str
    default: []
  approved_digest:
    description:
      - RV(llmops.inference.vllm_plan#module:approval) of the plan that was approved. The layout is refused, before
        anything changes, where what would be deployed is not what was approved, because the layout, the models' files,
        the hardware, or the plan that follows from them has moved since. The message names which.
      - Without it, or with O(state=rolled_back), nothing is compared.
    type: str
  remove_engines:
    description:
      - Whether an engine is removed from O(engine_root) with the last generation that ran it. One that no generation
        has run yet stays.
      - The same holds for an O(image). With O(state=absent), images that generations ran are removed, and engines
        in O(engine_root) stay.
    type: bool
    default: false
  requested_by:
    description:
      - Who asks, for the message to anyone who comes second.
      - Set by the module's own action plugin, which names user, controller and play.
    type: str
  detach:
    description:
      - Leave the transaction to a process on the host and return at once with RV(job).
      - Set by the module's own action plugin, which follows the transaction and returns its result.
    type: bool
    default: false
seealso:
  - module: llmops.inference.vllm_plan
  - module: llmops.inference.vllm_deployment_info
"""

EXAMPLES = r"""
---
- name: Serve two models on one GPU
  llmops.inference.vllm_deployment:
    engine_version: 0.32.0
    gpu_memory_budget: 0.99
    services:
      - name: mini
        model: /var/lib/vllm/models/Qwen3-8B
        port: 8002
        gpus: [2]
        rope: {factor: 4.0, original_max_position_embeddings: 32768}
      - name: micro
        model: /var/lib/vllm/models/Qwen3-1.7B
        port: 8003
        gpus: [2]
        secret_environment:
          VLLM_API_KEY: "{{ vault_micro_key }}"

- name: Serve a model in a container
  llmops.inference.vllm_deployment:
    engine_version: 0.32.0
    image: docker.io/vllm/vllm-openai@sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
    services:
      - {name: mini, model: /var/lib/vllm/models/Qwen3-8B, port: 8002}

- name: Return to the generation that served before
  llmops.inference.vllm_deployment:
    state: rolled_back

- name: Serve nothing any more
  llmops.inference.vllm_deployment:
    state: absent
"""

RETURN = r"""
generation:
  description: The active generation.
  returned: success
  type: int
  sample: 7
generation_before:
  description: The generation that was active before, the same where nothing changed; V(null) where there was none.
  returned: when O(state=present) or O(state=rolled_back)
  type: int
  sample: 6
plan:
  description:
    - The active plan, as RV(llmops.inference.vllm_plan#module:plan) has it.
    - V(null) for a generation that another version of the collection wrote, whose plan this one cannot read.
  returned: when O(state=present) or O(state=rolled_back)
  type: dict
services:
  description: The services, in start order.
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
      description: Base address of its API on the host.
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
      description: V(serving) after it generated the tokens that it was asked for; V(planned) in check mode.
      returned: success
      type: str
      sample: serving
    action:
      description: V(kept), V(started), or V(restarted) with the reason.
      returned: success
      type: str
      sample: kept
    first_token_seconds:
      description: Seconds until the first token of a short request; V(null) in check mode.
      returned: success
      type: float
      sample: 0.041
    tokens_per_second:
      description:
        - Tokens per second after the first of one request; V(null) in check mode.
        - V(null), too, where nothing was changed. Then each service is asked for a single token.
      returned: success
      type: float
      sample: 88.2
removed:
  description: Services that left the layout.
  returned: success
  type: list
  elements: str
  sample: []
changed_files:
  description: Files that differ from those of the generation before, or were changed by hand, by their path below it.
  returned: success
  type: list
  elements: str
  sample: [plan.json, services/mini/engine.yaml]
changed_links:
  description: Links to units, or to the active generation, that were lost or changed by hand.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/vllm.target]
interrupted:
  description:
    - The earlier run that was interrupted, as RV(llmops.inference.vllm_deployment_info#module:transaction) has it, and
      from which this one returned the host first. V(null) where there was none.
  returned: when O(state=present) or O(state=rolled_back)
  type: dict
  sample: null
job:
  description: Where the transaction on the host leaves its progress and result.
  returned: when O(detach=true) and something must change
  type: dict
  sample: {directory: /run/llmops-inference/job-4242-1}
holder:
  description: Who deploys on the host at this moment.
  returned: when another run is under way
  type: str
  sample: alice@controller (play 'Serve the layout of every host'), process 4242, since 2026-11-23 10:42:07 UTC
damage:
  description: Files of the generation that are not as they were written, and what is wrong with each.
  returned: when a damaged generation was to be returned to
  type: dict
  sample: {services/mini/engine.yaml: was changed}
service:
  description: The service that failed its gate.
  returned: when a service failed its gate
  type: str
  sample: mini
incident:
  description: Why, with C(kind), the C(line) of the journal that says so, and a C(remedy).
  returned: when a service failed its gate
  type: dict
  sample:
    kind: no_room_for_kv_cache
    line: "ValueError: No available memory for the cache blocks."
    remedy: lower max_model_len (or set it to 'fit'), or give the service a larger share
rolled_back_to:
  description: The generation that serves again; V(null) where there was none before.
  returned: when a service failed its gate, or the transaction was killed
  type: int
  sample: 6
rollback_problem:
  description: Why a service did not start again after the rollback.
  returned: when a service failed its gate, and one failed the gate of the generation before, too
  type: str
  sample: "service 'mini' did not pass its gate: torch.OutOfMemoryError: CUDA out of memory."
"""

import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.llmops.inference.plugins.module_utils._arguments import HOST_OPTIONS, PLAN_OPTIONS
from ansible_collections.llmops.inference.plugins.module_utils._deploy import kept
from ansible_collections.llmops.inference.plugins.module_utils._deploy.changes import Changes, Desired
from ansible_collections.llmops.inference.plugins.module_utils._deploy.desired import desired, kept_desired
from ansible_collections.llmops.inference.plugins.module_utils._deploy.diff import disk_differences
from ansible_collections.llmops.inference.plugins.module_utils._deploy.host import Host
from ansible_collections.llmops.inference.plugins.module_utils._deploy.rows import deployed_rows
from ansible_collections.llmops.inference.plugins.module_utils._engine.installed import forget_images
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError, NotInstalledError
from ansible_collections.llmops.inference.plugins.module_utils._generation.files import endpoints
from ansible_collections.llmops.inference.plugins.module_utils._generation.transaction import Transaction
from ansible_collections.llmops.inference.plugins.module_utils._host.job import OnStep, detach
from ansible_collections.llmops.inference.plugins.module_utils._host.lock import Lock, locked
from ansible_collections.llmops.inference.plugins.module_utils._places import Paths

OPTIONS = {
    **PLAN_OPTIONS,
    **HOST_OPTIONS,
    "image": {"type": "str"},
    "state": {"type": "str", "default": "present", "choices": ["present", "rolled_back", "absent"]},
    "generation": {"type": "int"},
    "keep_generations": {"type": "int", "default": 5},
    "remove_engines": {"type": "bool", "default": False},
    "restart": {"type": "list", "elements": "str", "default": []},
    "approved_digest": {"type": "str"},
    "requested_by": {"type": "str"},
    "detach": {"type": "bool", "default": False},
}


_NOTHING: dict[str, Any] = {
    "services": [],
    "removed": [],
    "changed_files": [],
    "changed_links": [],
    "generation": None,
    "generation_before": None,
}


class Deploy:
    """The module: decides, then applies here or in a job of its own."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.host = Host(module.params, lambda command: module.run_command(list(command), expand_user_and_vars=False))

    def absent(self) -> dict[str, Any]:
        """Delete everything that deployments made."""
        deployment = self.host.deployment()
        with self._locked():
            images = kept.images(self.host.store)
            changed = deployment.present() if self.module.check_mode else deployment.remove()
            if not self.module.check_mode:
                self._remove_unneeded(set(), images)
        return {**_NOTHING, "changed": changed}

    def present(self) -> dict[str, Any]:
        """Activate the layout."""
        return self._transact(lambda: desired(self.host))

    def rolled_back(self) -> dict[str, Any]:
        """Activate a kept generation again."""
        return self._transact(lambda: kept_desired(self.host, self.module.params["generation"]))

    def _locked(self) -> AbstractContextManager[Lock]:
        return locked(self.module.params["requested_by"] or "")

    def _transact(self, choose: Callable[[], Desired]) -> dict[str, Any]:
        with self._locked() as lock:
            interrupted = self.host.record.read()
            try:
                wanted, changes = self._decide(choose)
            except InferenceError as refusal:
                # Nothing follows that would bring the host out of the state in between.
                if interrupted and not self.module.check_mode:
                    refusal.details.update(self.host.deployment().recover())
                raise
            result = self._result(wanted, changes, interrupted)
            if self.module._diff:
                result["diff"] = disk_differences(self.host, changes, wanted)
            if self.module.check_mode:
                return result
            if changes.any and self.module.params["detach"]:
                return {
                    **result,
                    "job": detach(lock, lambda report: self._apply(wanted, changes, report), self._recover),
                }
            return {**result, **self._apply(wanted, changes, lambda service, text: None)}

    def _decide(self, choose: Callable[[], Desired]) -> tuple[Desired, Changes]:
        wanted = choose()
        for warning in wanted.plan.warnings if wanted.plan else ():
            self.module.warn(warning)
        changes = self.host.deployment().compare(
            wanted.order, wanted.files, wanted.number, self.module.params["restart"]
        )
        self.host.refuse_unfit(changes, wanted)
        return wanted, changes

    def _apply(self, wanted: Desired, changes: Changes, report: OnStep) -> dict[str, Any]:
        deployment = self.host.transaction(wanted, report)
        generation = self.host.store.current()
        if changes.any:
            engines = kept.engines(self.host.store, self.module.params["engine_root"])
            images = kept.images(self.host.store)
            generation = deployment.apply(
                changes, wanted.files, self.module.params["keep_generations"], kept=wanted.number
            )
            self._remove_unneeded(engines, images, report)
        # Where nothing changed they have just been asked; their speed is what the playbook status is for.
        measured = deployment.measure(wanted.files) if changes.any else changes.answers
        rows = deployed_rows(wanted.plan, changes, measured, endpoints(wanted.files))
        return {"services": rows, "generation": generation}

    def _remove_unneeded(
        self, engines: set[str], images: set[str], report: OnStep = lambda service, text: None
    ) -> None:
        """Remove those engines and images that no generation runs any more, where the user wants that."""
        if not self.module.params["remove_engines"]:
            return
        root = self.module.params["engine_root"]
        for tree in engines - kept.engines(self.host.store, root):
            report("host", f"removing {tree}")
            shutil.rmtree(tree, ignore_errors=True)
        unneeded = images - kept.images(self.host.store)
        forget_images(Path(root), unneeded)
        for image in unneeded:
            report("host", f"removing the image {image}")
            self.host.podman.remove_image(image)

    def _recover(self, report: OnStep) -> dict[str, Any]:
        return self.host.deployment(report).recover()

    def _result(self, wanted: Desired, changes: Changes, interrupted: Transaction | None) -> dict[str, Any]:
        if interrupted:
            self.module.warn(
                f"the transaction to generation {interrupted.after} that {interrupted.by} began "
                f"{interrupted.since} was interrupted; the host goes on from generation {self.host.deployment().base()}"
            )
        return {
            "changed": changes.any,
            "generation_before": self.host.deployment().base(),
            "plan": wanted.plan.to_dict() if wanted.plan else None,
            "services": deployed_rows(wanted.plan, changes, None, endpoints(wanted.files)),
            "removed": list(changes.remove),
            "changed_files": list(changes.files),
            "changed_links": list(changes.links),
            "interrupted": vars(interrupted) if interrupted else None,
            "generation": self.host.store.current(),
        }


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        deploy = Deploy(module)
        states = {"present": deploy.present, "rolled_back": deploy.rolled_back, "absent": deploy.absent}
        result = states[module.params["state"]]()
    except NotInstalledError as error:
        if module.params["state"] == "absent" and not os.path.lexists(Paths.config_root):
            module.exit_json(**_NOTHING, changed=False)  # no role was ever here, or all of it went
        if not module.check_mode:
            module.fail_json(msg=str(error), **error.details)
        module.warn(f"{error}. Check mode cannot tell more than that everything would be deployed.")
        result = {**_NOTHING, "changed": True}
    except InferenceError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
