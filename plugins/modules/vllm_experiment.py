#!/usr/bin/python
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of this name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_experiment
short_description: Choose the next step of a comparison or a search on a host
version_added: 1.1.0
author:
  - The llmops.inference maintainers (@llmops)
description:
  - Takes the result of a step and returns the next step. The role P(llmops.inference.vllm_experiment#role) carries the
    steps out, and calls this module after each of them. Use the role; the module is a part of it.
  - Runs on the controller and never connects to the host.
extends_documentation_fragment:
  - llmops.inference.attributes
  - llmops.inference.attributes.actiongroup
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  event:
    description:
      - Says which step was done, and chooses the answer.
      - V(begin) checks that the host can roll back, and returns RV(rollback) and RV(began).
      - V(plan) checks the experiment, and returns RV(most).
      - V(next) returns the next RV(attempt).
      - V(deployed), V(failed) and V(measured) note the result of the last attempt.
      - V(end) returns what the attempts found.
    type: str
    choices: [begin, plan, next, deployed, failed, measured, end]
    required: true
  found:
    description: The result of M(llmops.inference.vllm_deployment_info), for V(event=begin).
    type: dict
  candidates:
    description: The number of layouts that may be tried, for V(event=begin).
    type: int
    default: 0
  experiment:
    description:
      - The experiment so far, for all events but V(event=begin).
      - C(began) is RV(began), and C(attempts) is RV(attempts) of the step before.
      - A comparison states C(comparison), with C(rounds), C(seed), C(scenarios), C(profiles) of both sides and
        C(quality).
      - A search states C(search), with C(found), the result of M(llmops.inference.vllm_candidates), and C(scenarios),
        C(within), C(seconds), C(keep), C(repeats) and C(seed).
    type: dict
  generation:
    description: The generation that was deployed, for V(event=deployed).
    type: int
  failure:
    description:
      - The result of the task that failed, for V(event=failed).
      - A failure for another reason than a layout that does not start makes the module fail with its message.
    type: dict
  runs:
    description: The runs that were measured, for V(event=measured).
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Choose the next attempt
  llmops.inference.vllm_experiment:
    event: next
    experiment:
      comparison:
        rounds: 6
        seed: 0
        scenarios: [standard]
        profiles: {before: small, after: large}
        quality: true
      began: "{{ begun.began }}"
      attempts: "{{ step.attempts }}"
  register: step
"""

RETURN = r"""
began:
  description: The Unix time of V(event=begin), in seconds.
  returned: for V(event=begin)
  type: float
  sample: 1795891200.5
rollback:
  description: The C(tasks_from) of the role vllm_services, C(generation) and C(keep_generations) to return the host.
  returned: for V(event=begin)
  type: dict
  sample: {tasks_from: rolled_back, generation: 4, keep_generations: 13}
most:
  description: The number of attempts that there are at most.
  returned: for V(event=plan)
  type: int
  sample: 12
attempt:
  description:
    - The attempt to make, or that was made. Its C(generation) is 0 for a layout to deploy, else the generation to
      return to; its C(measurements) are arguments of the role vllm_validation.
    - None at the end.
  returned: for V(event=next), V(event=deployed), V(event=failed) and V(event=measured)
  type: dict
  sample:
    name: before
    where: before, round 1 of 6
    generation: 0
    measurements: [{scenario: standard, repeat: 1, profile: small, side: before, quality: true}]
attempts:
  description: All attempts so far, for the next step.
  returned: except for V(event=begin)
  type: list
  elements: dict
  sample: []
told:
  description: The plan, or the result of the last attempt, in words.
  returned: for V(event=plan), V(event=failed) and V(event=measured)
  type: str
  sample: "candidate 1, rung 1 of 2: {'mini': {'max_num_seqs': 8}}: good requests/s 1.204; 231 s so far"
runs:
  description: The runs of a comparison.
  returned: for V(event=end) of a comparison
  type: list
  elements: dict
  sample: []
report:
  description: The evidence of a search.
  returned: for V(event=end) of a search
  type: dict
  sample: {winner: 1, improvement: 1.8}
file:
  description: The best layout of a search as YAML to review.
  returned: for V(event=end) of a search
  type: str
  sample: "vllm_services_changes: {}"
lines:
  description: The evidence of a search in lines for a terminal.
  returned: for V(event=end) of a search
  type: list
  elements: str
  sample: []
"""
