# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of the module of this name, which has no other: notes a result, and answers with the next step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.attempt import Attempt
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.comparison import Comparison
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.driver import Driver, rollback
from ansible_collections.llmops.inference.plugins.plugin_utils._experiment.search import Search


class ActionModule(ActionBase):
    """Runs on the controller alone; the role vllm_experiment carries the steps out."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to the event of the task."""
        super().run(tmp, task_vars)
        host = str((task_vars or {})["inventory_hostname"])
        try:
            if self._task.check_mode:
                raise InferenceError(
                    "An experiment deploys and measures, and check mode does neither. The playbook "
                    "llmops.inference.plan plans."
                )
            return {"changed": False, **answer(self._task.args, host, time.time())}
        except InferenceError as error:
            raise AnsibleActionFail(str(error)) from None


def answer(arguments: Mapping[str, Any], host: str, now: float) -> dict[str, Any]:
    """Return the answer to the event of these arguments, at a Unix time (seconds)."""
    event = str(arguments.get("event"))
    if event == "begin":
        candidates = int(arguments.get("candidates", 0))
        return {"began": now, "rollback": rollback(arguments["found"], host, candidates)}
    events: dict[str, Callable[[Driver], dict[str, Any]]] = {
        "plan": lambda driver: {"most": driver.experiment.most(), "told": driver.experiment.summary()},
        "next": lambda driver: _step(driver.next(now)),
        "deployed": lambda driver: _step(driver.deployed(int(arguments["generation"]), now)),
        "failed": lambda driver: {**_step(driver.failed(arguments["failure"], now)), "told": driver.told(now)},
        "measured": lambda driver: {**_step(driver.measured(arguments["runs"], now)), "told": driver.told(now)},
        "end": lambda driver: driver.experiment.report(driver.attempts, now - driver.began),
    }
    if event not in events:
        raise InferenceError(f"event is {event!r}; begin, {', '.join(events)} are the events.")
    stated = arguments["experiment"]
    attempts = [] if event == "plan" else [Attempt(**one) for one in stated["attempts"]]
    driver = Driver(_experiment(stated, host), float(stated["began"]), attempts)
    found = events[event](driver)
    return {**found, "attempts": [vars(one) for one in driver.attempts]}


def _experiment(experiment: Mapping[str, Any], host: str) -> Comparison | Search:
    """Return the experiment that is stated as ``comparison`` or as ``search``."""
    stated = experiment.get("comparison")
    if stated:
        return Comparison(
            host,
            rounds=int(stated["rounds"]),
            seed=int(stated["seed"]),
            scenarios=stated["scenarios"],
            profiles=stated["profiles"],
            quality=bool(stated["quality"]),
        )
    stated = experiment["search"]
    return Search(
        host,
        found=stated["found"],
        scenarios=stated["scenarios"],
        within=stated["within"],
        seconds=float(stated["seconds"]),
        keep=float(stated["keep"]),
        repeats=int(stated["repeats"]),
        seed=int(stated["seed"]),
    )


def _step(attempt: Attempt | None) -> dict[str, Any]:
    return {"attempt": None if attempt is None else vars(attempt)}
