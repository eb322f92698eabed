# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment does with gateways: nothing where nothing changes, and always the rollback where something does."""

from __future__ import annotations

import json
import re
import sys

from ansible_collections.llmops.inference.tests.playbooks.command import ansible

PLAY = "tests/playbooks/rolling/play.yml"


def steps(*, differs: bool = False, broken: bool = False, taken_back: bool = True, status: int = 0) -> list[str]:
    """Return the states that the gateway was asked for, each with the services of the host that are meant."""
    variables = {"differs": differs, "broken": broken, "taken_back": taken_back}
    command = ["ansible-playbook", "-i", "box,", "-c", "local", "-e", json.dumps(variables)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", PLAY]
    # Shows with what arguments modules were called.
    environment = {"ANSIBLE_VERBOSITY": "3", "ANSIBLE_INJECT_INVOCATION": "1", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}
    said = ansible(*command, environment=environment, status=status)
    asked = re.findall(r"module_args:\n(?:.*\n)*? +services:(.*\n(?: +- .*\n)*) +socket: .*\n +state: (\w+)", said)
    return [" ".join([state, ",".join(re.findall(r"- (\w+)", names)) or "all"]) for names, state in asked]


def test_a_host_that_was_taken_back_and_stays_as_it_is_has_no_business_with_the_gateways() -> None:
    assert steps() == ["ready all"]


def test_a_host_that_stays_as_it_is_is_taken_back_where_nobody_has_done_so() -> None:
    assert steps(taken_back=False) == ["ready changed,kept"]


def test_what_stops_is_drained_first_and_what_served_is_taken_back() -> None:
    assert steps(differs=True) == ["ready all", "drained changed,gone", "ready changed,kept,gone"]


def test_what_was_drained_is_taken_back_after_a_failure_too() -> None:
    asked = steps(differs=True, broken=True, status=2)
    assert asked == ["ready all", "drained changed,gone", "ready changed,kept,gone"]
